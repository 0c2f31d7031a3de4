with

sessions as (

    select
        session_id,
        user_id,
        date,
        started_at,
        ended_at,
        toUInt32(ended_at - started_at) as duration_seconds,
        events,
        pages,
        entry_url,
        exit_url,
        revenue
    from {{ ref('sessions_built') }} {{ final() }}

)

select * from sessions
