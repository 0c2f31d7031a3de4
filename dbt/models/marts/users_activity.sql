with

days as (

    select date, users from {{ ref('users_activity_aggr') }} {{ final() }}

),

bounds as (

    select
        min(date) as first_day,
        greatest(max(date), {{ today() }}) as last_day,
        if(count() = 0, 0, toUInt32(last_day - first_day) + 1) as length
    from days

),

-- Every day from the first to today has a row: a day without events still shows who was active in the week before it.
calendar as (

    select arrayJoin(arrayMap(n -> first_day + n, range(length))) as date
    from bounds

),

filled as (

    select calendar.date as date, days.users as users
    from calendar
    left join days on days.date = calendar.date

),

users_activity as (

    select
        date,
        {{ active_users(0) }} as dau,
        {{ active_users(6) }} as wau,
        {{ active_users(29) }} as mau
    from filled

)

select * from users_activity
