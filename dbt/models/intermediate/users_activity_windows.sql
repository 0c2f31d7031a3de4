{{
    config(
        engine=engine('ReplacingMergeTree(built_at)'),
        partition_by='toYYYYMM(date)',
        order_by='date',
        incremental_strategy='append',
        query_settings={'max_partitions_per_insert_block': 0},
    )
}}

{#-
    A day that changed is in the windows of itself and of the thirty days after it. Those are counted again, the ones to come
    too: they are right for as long as nothing arrives, so a day on which dbt does not run has its numbers.

    Which days are out of date is not asked of the clock. A row holds the fingerprint of the days that it was made of: where
    that is not what users_activity_aggr has, the day is counted again, whoever changed it and whenever that was seen. This
    reads a few numbers a day of the whole history, and the states of the windows that are out of date only.
-#}

with

days as (

    select
        date,
        sipHash64(date, events, fingerprint) as fingerprint
    from {{ ref('users_activity_aggr') }} {{ final() }}

),

expected as (

    select
        days.date + later as date,
        groupBitXor(days.fingerprint) as fingerprint
    from days
    array join range(31) as later
    group by days.date + later

),

stale_days as (

    select date from expected
    {% if is_incremental() -%}
    where (date, fingerprint) not in (select date, fingerprint from {{ this }} {{ final() }})
    {%- endif %}

),

-- Every day that the windows of those days reach, with or without events.
calendar as (

    select
        stale_days.date - earlier as date,
        max(earlier = 0) as is_stale
    from stale_days
    array join range(31) as earlier
    group by stale_days.date - earlier

),

states as (

    select
        date,
        users,
        sipHash64(date, events, fingerprint) as fingerprint
    from {{ ref('users_activity_aggr') }} {{ final() }}
    where date in (select date from calendar)

),

filled as (

    select
        calendar.date as date,
        calendar.is_stale as is_stale,
        states.users as users,
        states.fingerprint as fingerprint
    from calendar
    left join states on states.date = calendar.date

),

-- Window functions, because they hold the users of one window at a time. A group by would hold those of all.
windows as (

    select
        date,
        is_stale,
        finalizeAggregation(users) as dau,
        {{ active_users(6) }} as wau,
        {{ active_users(29) }} as mau,
        {{ active_users(30) }} as with_the_day,
        {{ active_users(30, 1) }} as before_the_day,
        groupBitXor(fingerprint) over (order by date range between 30 preceding and current row) as fingerprint
    from filled

),

-- Who was there on the day and in the thirty days before it is in both counts, and once in that of all together.
-- An approximate `users_aggregate` may be off by more than there are.
counted as (

    select
        date,
        dau,
        wau,
        mau,
        toUInt64(least(greatest(toInt64(dau + before_the_day) - toInt64(with_the_day), 0), toInt64(dau))) as returning_users,
        fingerprint,
        now64(6, 'UTC') as built_at
    from windows
    where is_stale

)

select * from counted
