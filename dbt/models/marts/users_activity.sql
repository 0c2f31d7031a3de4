with

days as (

    select
        date,
        dau,
        wau,
        mau,
        returning_users
    from {{ ref('users_activity_windows') }} {{ final() }}
    where date <= {{ today() }}

),

first_days as (

    select
        first_day,
        count() as users
    from {{ ref('user_first_days') }} {{ final() }}
    group by first_day

),

-- Every day from the first to today has a row: also one whose last thirty days have no events.
bounds as (

    select
        min(date) as first_day,
        if(count() = 0, 0, toUInt32({{ today() }} - first_day) + 1) as length
    from days

),

calendar as (

    select arrayJoin(arrayMap(n -> first_day + n, range(length))) as date
    from bounds

),

-- A user of an event that came while dbt ran may be in user_first_days and not yet in the windows: until the next run
-- they are not counted.
filled as (

    select
        calendar.date as date,
        days.dau as dau,
        days.wau as wau,
        days.mau as mau,
        days.returning_users as returning_users,
        toUInt64(least(first_days.users, days.dau - days.returning_users)) as new_users
    from calendar
    left join days on days.date = calendar.date
    left join first_days on first_days.first_day = calendar.date

),

users_activity as (

    select
        date,
        dau,
        wau,
        mau,
        if(mau = 0, 0, dau / mau) as stickiness,
        new_users,
        returning_users,
        toUInt64(dau - returning_users - new_users) as resurrected_users
    from filled

)

select * from users_activity
