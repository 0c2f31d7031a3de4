-- depends_on: {{ ref('stg_site_arrivals') }}
-- depends_on: {{ ref('stg_site_events') }}
{{
    config(
        engine=engine('AggregatingMergeTree'),
        order_by='(experiment, user_id, variant)',
        incremental_strategy='append',
    )
}}

{#-
    A run appends, for each user and variant that the new arrivals name, the earliest of their times. ClickHouse keeps the
    least: whether an arrival comes late, twice or in two runs at once, the table says the same. So nothing that is there
    has to be read.
-#}

with

{% if is_incremental() -%}

unseen as (

    select {{ unseen_since(this) }} as since

),

events as (

    select user_id, dt, exp
    from {{ ref('stg_site_arrivals') }}
    where inserted_at >= (select since from unseen)

),

{% else -%}

-- Everything is read, so an event counts as its newest copy has it.
events as (

    select user_id, dt, exp from {{ ref('stg_site_events') }}

),

{% endif -%}

exposures as (

    select
        experiment,
        user_id,
        cast(variant as LowCardinality(String)) as variant,
        cast(min(dt) as SimpleAggregateFunction(min, DateTime('UTC'))) as exposed_at
    from events
    array join mapKeys(exp) as experiment, mapValues(exp) as variant
    group by experiment, user_id, variant

)

select * from exposures
