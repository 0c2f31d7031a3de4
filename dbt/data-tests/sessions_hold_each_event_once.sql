-- An event of the recent days in no session, or a session that began on them without just its events. Events that arrived
-- since the model last looked do not count, nor do sessions that they are in.

with

recent_sessions as (

    select user_id, started_at, ended_at, date, events from {{ ref('sessions_built') }} final
    where hasAny(days, arrayMap(n -> {{ tested_from() }} + n, range({{ var('test_days') }})))

),

recent_events as (

    select user_id, dt, inserted_at from {{ ref('stg_site_events') }}
    where date >= {{ tested_from() }}
        and date < {{ tested_from() }} + {{ var('test_days') }}

),

-- Each event with the last session that began before it.
placed as (

    select
        e.user_id as user_id,
        s.started_at as started_at,
        e.dt <= s.ended_at as is_within,
        s.date as date,
        s.ended_at as ended_at,
        s.events as events,
        e.inserted_at as inserted_at
    from recent_events as e
    asof left join recent_sessions as s on s.user_id = e.user_id and s.started_at <= e.dt

)

select
    user_id,
    started_at,
    is_within,
    any(events) as events_in_the_model,
    count() as events_found,
    max(inserted_at) as last_arrival
from placed
group by user_id, started_at, is_within
having last_arrival < {{ unseen_since(ref('sessions_built')) }}
    and (
        not is_within
        or (
            events_found != events_in_the_model
            and any(date) >= {{ tested_from() }}
            and max(toDate(ended_at)) < {{ tested_from() }} + {{ var('test_days') }}
        )
    )
