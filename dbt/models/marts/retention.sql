{%- set periods = [
    {'name': 'day', 'days': 1, 'first': 'first_day', 'active': 'date', 'last': var('retention_days')},
    {'name': 'week', 'days': 7, 'first': 'toMonday(first_day)', 'active': 'toMonday(date)', 'last': var('retention_weeks')},
] -%}

with

-- Grouped, as a user has a row for each run that found an earlier day, until ClickHouse merges them.
first_days as (

    select
        user_id,
        toDate(min(user_first_days.first_day)) as first_day
    from {{ ref('user_first_days') }} as user_first_days
    group by user_id
    having first_day <= {{ today() }}

),
{% for period in periods %}
{{ period.name }}_members as (

    select
        user_id,
        {{ period.first }} as cohort
    from first_days

),

{{ period.name }}_cohorts as (

    select
        '{{ period.name }}' as period,
        cohort,
        count() as cohort_size
    from {{ period.name }}_members
    group by period, cohort

),

-- Every period of a cohort that has begun has a row, with or without somebody who came back in it.
{{ period.name }}_calendar as (

    select
        period,
        cohort,
        cohort_size,
        toUInt16(number) as n
    from {{ period.name }}_cohorts
    array join range(least({{ period.last }}, intDiv({{ today() }} - cohort, {{ period.days }})) + 1) as number

),

-- Different users are counted: no FINAL is needed for a day of a user that is there twice.
-- ClickHouse carries a reader's filter on period and cohort over to this side, since both are keys of the join below.
{{ period.name }}_returns as (

    select
        '{{ period.name }}' as period,
        members.cohort as cohort,
        toUInt16(intDiv({{ period.active }} - cohort, {{ period.days }})) as n,
        uniqExact(user_days.user_id) as users
    from {{ ref('user_days') }} as user_days
    inner join {{ period.name }}_members as members using (user_id)
    where {{ period.active }} > cohort and {{ period.active }} <= cohort + {{ period.last * period.days }}
    group by period, cohort, n

),
{% endfor %}
retention as (

    {% for period in periods -%}
    select
        calendar.period as period,
        calendar.cohort as cohort,
        calendar.n as n,
        calendar.cohort_size as cohort_size,
        -- All of a cohort are there in its first period.
        if(n = 0, cohort_size, returns.users) as users,
        users / cohort_size as rate
    from {{ period.name }}_calendar as calendar
    left join {{ period.name }}_returns as returns
        on returns.period = calendar.period and returns.cohort = calendar.cohort and returns.n = calendar.n
    {{ 'union all' if not loop.last }}
    {% endfor %}
)

select * from retention
