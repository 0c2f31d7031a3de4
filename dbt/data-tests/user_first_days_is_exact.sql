-- A user of an event whose first day is later, though the model has looked since; and a first day without an event of theirs.

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

-- Nobody has a first day after an event that the model has seen.
seen as (

    select
        user_id,
        min(date) as first_day
    from events
    where first_arrival < {{ unseen_since(ref('user_first_days')) }}
    group by user_id

),

known as (

    select
        user_id,
        min(first_day) as first_day,
        count() as times
    from {{ ref('user_first_days') }}
    where user_id in (select user_id from events)
    group by user_id

)

select user_id, seen.first_day as first_day, 'missing' as what
from seen
left join known on known.user_id = seen.user_id
where known.times = 0 or known.first_day > seen.first_day

union all

select user_id, first_day, 'without an event' as what
from {{ ref('user_first_days') }} final
where first_day >= {{ tested_from() }}
    and (first_day, user_id) not in (select date, user_id from events)
