-- A day that is not as the model has it, though nothing has arrived for it since the model last looked.

with

raw_days as (

    select
        date,
        count() as events,
        groupBitXor(sipHash64(event_id, user_id)) as fingerprint,
        max(inserted_at) as last_arrival
    from {{ ref('stg_site_events') }}
    where date >= {{ tested_from() }}
    group by date

),

aggr as (

    select
        date,
        events,
        fingerprint
    from {{ ref('users_activity_aggr') }} final

)

select
    raw_days.date as date,
    raw_days.events as events,
    aggr.events as events_in_the_model,
    raw_days.last_arrival as last_arrival
from raw_days
left join aggr on aggr.date = raw_days.date
where (raw_days.events, raw_days.fingerprint) != (aggr.events, aggr.fingerprint)
    and raw_days.last_arrival < {{ unseen_since(ref('users_activity_aggr')) }}
