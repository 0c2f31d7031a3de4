-- A session of the recent days that cannot be: two of one id, an end before the start, no event, more pages than events.

with

recent as (

    select
        *,
        count() over (partition by session_id) as of_this_id
    from {{ ref('sessions') }}
    where date >= {{ tested_from() }}

)

select * from recent
where of_this_id > 1
    or ended_at < started_at
    or duration_seconds != ended_at - started_at
    or events = 0
    or pages > events
    or date != toDate(started_at)
