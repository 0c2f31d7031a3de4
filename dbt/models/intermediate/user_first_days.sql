-- depends_on: {{ ref('stg_site_arrivals') }}
-- depends_on: {{ ref('stg_site_events') }}
{{
    config(
        engine=engine('AggregatingMergeTree'),
        order_by='user_id',
        settings={'index_granularity': 1024},
        incremental_strategy='append',
    )
}}

{#-
    A run asks for each user that arrived what it has. Users are all over the table, and a question reads a granule: hence
    small ones.
-#}

with

{% if is_incremental() -%}

unseen as (

    select {{ unseen_since(this) }} as since

),

arrived as (

    select
        user_id,
        min(date) as first_day
    from {{ ref('stg_site_arrivals') }}
    where inserted_at >= (select since from unseen)
    group by user_id

),

known as (

    select
        user_id,
        min(first_day) as first_day,
        count() as times
    from {{ this }}
    where user_id in (select user_id from arrived)
    group by user_id

),

-- Users who are new, and those who turn out to have come before the day that is known as their first.
earlier as (

    select
        arrived.user_id as user_id,
        arrived.first_day as day
    from arrived
    left join known on known.user_id = arrived.user_id
    where known.times = 0 or arrived.first_day < known.first_day

),

{%- else -%}

earlier as (

    select
        user_id,
        date as day
    from {{ ref('stg_site_events') }}

),

{%- endif %}

user_first_days as (

    select
        user_id,
        minSimpleState(day) as first_day
    from earlier
    group by user_id

)

select * from user_first_days
