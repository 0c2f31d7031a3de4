-- depends_on: {{ ref('stg_site_arrivals') }}
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
    A run appends a new row for each day that changed, and ReplacingMergeTree keeps a day's newest: no row is deleted, no
    partition replaced, and a reader sees the old row or the new one, never none. Only months that have such a day get a
    new part.
-#}

with

{% if is_incremental() -%}

unseen as (

    select {{ unseen_since(this) }} as since

),

days_with_arrivals as (

    select distinct date
    from {{ ref('stg_site_arrivals') }}
    where inserted_at >= (select since from unseen)

),

{% endif -%}

events as (

    select * from {{ ref('stg_site_events') }}
    {% if is_incremental() -%}
    where date in (select date from days_with_arrivals)
    {%- endif %}

),

days as (

    select
        date,
        {{ users('State') }}(user_id) as users,
        count() as events,
        groupBitXor(sipHash64(event_id, user_id)) as fingerprint
    from events
    group by date

),

changed_days as (

    select * from days
    {% if is_incremental() -%}
    -- A day is a candidate again for as long as the lag, and after every copy that arrives: when it holds just what was
    -- counted, it is left alone.
    where (date, fingerprint, events) not in (select date, fingerprint, events from {{ this }} {{ final() }})
    {%- endif %}

),

stamped as (

    select
        date,
        users,
        events,
        fingerprint,
        now64(6, 'UTC') as built_at
    from changed_days

)

select * from stamped
