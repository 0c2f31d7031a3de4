-- A session of the recent days that begins before the user's one before it is over, or within the timeout of its end.

with

recent as (

    select user_id, started_at, ended_at from {{ ref('sessions') }}
    where date >= {{ tested_from() }}

),

neighbours as (

    select
        user_id,
        started_at,
        max(ended_at) over (
            partition by user_id order by started_at rows between unbounded preceding and 1 preceding
        ) as ended_before
    from recent

)

select * from neighbours
where toUnixTimestamp(started_at) <= toUnixTimestamp(ended_before) + {{ var('session_timeout_seconds') }}
