-- depends_on: {{ ref('stg_site_arrivals') }}
{{
    config(
        engine=engine('ReplacingMergeTree(built_at)'),
        partition_by='toYYYYMM(date)',
        order_by='(date, step)',
        incremental_strategy='append',
        query_settings={'max_partitions_per_insert_block': 0},
    )
}}

{#-
    A day's chains go on for as long as the window. So an event counts for its own day and for the days before it whose
    chains can reach it: those are redone, from their own events and the ones they reach. As in users_activity_aggr only
    rows that are no longer what they were are appended.
-#}

{%- set steps = var('funnel_steps') -%}
{%- set reach = days_reached(var('funnel_window_seconds')) | int -%}

with

{% if is_incremental() -%}

unseen as (

    select {{ unseen_since(this) }} as since

),

{% endif -%}

days_with_arrivals as (

    select distinct date
    from {{ ref('stg_site_arrivals') }}
    {% if is_incremental() -%}
    where inserted_at >= (select since from unseen)
    {%- endif %}

),

days_to_redo as (

    select date from days_with_arrivals
    {% if is_incremental() -%}
    union distinct
    -- A day before that is not in the model has no events.
    select distinct date
    from {{ this }}
    where date in (select arrayJoin(arrayMap(n -> date - n, range(1, {{ reach + 1 }}))) from days_with_arrivals)
    {%- endif %}

),

step_events as (

    select
        date,
        dt,
        {%- for step in steps %}
        {{ funnel_condition(step) }} as is_step_{{ loop.index }},
        {%- endfor %}
        user_id
    from {{ ref('stg_site_events') }}
    where (
        {%- for step in steps %}
        {{ 'or ' if not loop.first }}{{ funnel_condition(step) }}
        {%- endfor %}
    )
    {% if is_incremental() -%}
    and date in (select arrayJoin(arrayMap(n -> date + n, range({{ reach + 1 }}))) from days_to_redo)
    {%- endif %}

),

-- Each event once for its day, as any step, and once for each day that can reach it, as a later step.
reachable as (

    select
        arrayJoin(range({{ reach + 1 }})) as days_later,
        date - days_later as day,
        dt,
        is_step_1 and days_later = 0 as is_step_1,
        {%- for step in steps[1:] %}
        is_step_{{ loop.index + 1 }},
        {%- endfor %}
        user_id
    from step_events
    where (
        days_later = 0
        {%- for step in steps[1:] %}
        or is_step_{{ loop.index + 1 }}
        {%- endfor %}
    )
    {% if is_incremental() -%}
    and day in (select date from days_to_redo)
    {%- endif %}

),

chains as (

    select
        day,
        user_id,
        windowFunnel({{ var('funnel_window_seconds') }})(
            dt,
            {%- for step in steps %}
            is_step_{{ loop.index }}{{ ',' if not loop.last }}
            {%- endfor %}
        ) as last_step
    from reachable
    group by day, user_id

),

counts as (

    select
        day,
        [
            {%- for step in steps %}
            countIf(last_step >= {{ loop.index }}){{ ',' if not loop.last }}
            {%- endfor %}
        ] as users
    from chains
    group by day

),

-- A day on which nobody took the first step is in the model too.
days as (

    select
        days_to_redo.date as date,
        toUInt8(number) as step,
        counts.users[step] as users
    from days_to_redo
    left join counts on counts.day = days_to_redo.date
    array join range(1, {{ steps | length + 1 }}) as number

),

changed_rows as (

    select * from days
    {% if is_incremental() -%}
    where (date, step, users) not in (select date, step, users from {{ this }} {{ final() }})
    {%- endif %}

)

select
    date,
    step,
    users,
    now64(6, 'UTC') as built_at
from changed_rows
