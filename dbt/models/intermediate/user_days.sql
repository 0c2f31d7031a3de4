-- depends_on: {{ ref('stg_site_arrivals') }}
-- depends_on: {{ ref('stg_site_events') }}
{{
    config(
        engine=engine('ReplacingMergeTree'),
        partition_by='toYYYYMM(date)',
        order_by='(date, user_id)',
        incremental_strategy='append',
        query_settings={'max_partitions_per_insert_block': 0},
    )
}}

with

{% if is_incremental() -%}

unseen as (

    select {{ unseen_since(this) }} as since

),

arrived as (

    select distinct date, user_id
    from {{ ref('stg_site_arrivals') }}
    where inserted_at >= (select since from unseen)

),

-- The primary key answers this: only what may be one of those is read.
known as (

    select date, user_id
    from {{ this }}
    where (date, user_id) in (select date, user_id from arrived)

),

user_days as (

    select date, user_id from arrived
    where (date, user_id) not in (select date, user_id from known)

)

{%- else -%}

user_days as (

    select distinct date, user_id from {{ ref('stg_site_events') }}

)

{%- endif %}

select * from user_days
