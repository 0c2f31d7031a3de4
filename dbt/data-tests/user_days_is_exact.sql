-- A user of an event who is not in the model on that day, though the model has looked since; and a user in the model without
-- an event that day.

with

events as (

    select
        date,
        user_id,
        min(inserted_at) as first_arrival
    from {{ ref('stg_site_events') }}
    where date >= {{ tested_from() }}
    group by date, user_id

),

user_days as (

    select date, user_id
    from {{ ref('user_days') }}
    where date >= {{ tested_from() }}

)

select date, user_id, 'missing' as what
from events
where first_arrival < {{ unseen_since(ref('user_days')) }}
    and (date, user_id) not in (select date, user_id from user_days)

union all

select date, user_id, 'without an event' as what
from user_days
where (date, user_id) not in (select date, user_id from events)
