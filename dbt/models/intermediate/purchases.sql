{{
    config(
        engine=engine('ReplacingMergeTree(received_at)'),
        partition_by='toYYYYMM(dt)',
        order_by='(dt, name, obj, obj_id, event_id)',
        incremental_strategy='append',
        query_settings={'max_partitions_per_insert_block': 0},
    )
}}

{#-
    The engine, the key and the version are those of `events`: which of an event's copies counts is decided here as there, in
    whichever order and however often they come. So a run appends the new arrivals and reads nothing else.
-#}

with

{% if is_incremental() -%}

unseen as (

    select {{ unseen_since(this) }} as since

),

{% endif -%}

purchases as (

    select
        dt,
        name,
        obj,
        obj_id,
        event_id,
        user_id,
        amount,
        received_at
    from {{ ref('stg_site_arrivals') }}
    where
        ({{ var('purchase') }})
        {% if is_incremental() -%}
        and inserted_at >= (select since from unseen)
        {%- endif %}

)

select * from purchases
