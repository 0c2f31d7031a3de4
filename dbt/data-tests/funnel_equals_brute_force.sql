-- The funnel of the newest days against one that is worked out from the raw events without windowFunnel: from each first
-- step the earliest next step, and so on. On a busy site events arrive between the model's run and this test: a day is
-- compared when nothing has come, since the model last looked, for it and the days that its chains reach.

{% set steps = var('funnel_steps') -%}
{% set reach = days_reached(var('funnel_window_seconds')) | int -%}

with

checked as (

    select distinct date
    from {{ ref('funnel_days') }}
    where date >= {{ tested_from() }} - {{ reach }} and date <= {{ today() }}

),

moving as (

    select distinct date - arrayJoin(range({{ reach + 1 }})) as date
    from {{ ref('stg_site_arrivals') }}
    where inserted_at >= {{ unseen_since(ref('funnel_days')) }}

),

settled as (

    select date
    from checked
    where date not in (select date from moving)

),

times as (

    select
        {%- for step in steps %}
        arraySort(groupArrayIf(toUnixTimestamp(dt), {{ funnel_condition(step) }})) as times_{{ loop.index }},
        {%- endfor %}
        user_id
    from {{ ref('stg_site_events') }}
    where date in (select arrayJoin(arrayMap(n -> date + n, range({{ reach + 1 }}))) from settled)
    group by user_id

),

-- When a chain from each first step reaches each step: 0 for never.
chains as (

    select
        user_id,
        arrayJoin(times_1) as at_1,
        {%- for step in steps[1:] %}
        {%- set n = loop.index + 1 %}
        if(
            at_{{ n - 1 }} = 0, 0,
            arrayFirst(t -> t >= at_{{ n - 1 }} and t <= at_1 + {{ var('funnel_window_seconds') }}, times_{{ n }})
        ) as at_{{ n }},
        {%- endfor %}
        toDate(toDateTime(at_1, 'UTC')) as date
    from times

),

brute_force as (

    select
        date,
        [
            {%- for step in steps %}
            uniqExactIf(user_id, at_{{ loop.index }} > 0){{ ',' if not loop.last }}
            {%- endfor %}
        ] as users
    from chains
    group by date

)

select
    funnel.date as date,
    funnel.step as step,
    funnel.users as users,
    brute_force.users[funnel.step] as expected_users
from {{ ref('funnel') }} as funnel
left join brute_force on brute_force.date = funnel.date
where funnel.date in (select date from settled)
    and users != expected_users
