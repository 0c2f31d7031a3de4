{%- set steps = var('funnel_steps') -%}

with

days as (

    select date, step, users
    from {{ ref('funnel_days') }} {{ final() }}
    where step <= {{ steps | length }}

),

compared as (

    select
        date,
        step,
        users,
        first_value(users) over (partition by date order by step) as users_of_first,
        lagInFrame(users) over (partition by date order by step) as users_of_previous
    from days

),

funnel as (

    select
        date,
        step,
        {{ strings_literal(steps | map(attribute='name') | list) }}[step] as step_name,
        users,
        if(users_of_first = 0, null, users / users_of_first) as conversion_from_first,
        if(users_of_previous = 0, null, users / users_of_previous) as conversion_from_previous
    from compared

)

select * from funnel
