{{
    config(
        engine=engine('ReplacingMergeTree'),
        partition_by='toYYYYMM(date)',
        order_by='(date, user_id)',
        incremental_strategy='append',
        on_schema_change='fail',
        query_settings={'max_partitions_per_insert_block': 0},
    )
}}

select distinct
    date,
    user_id
from {{ ref('stg_site_arrivals') }}
{% if is_incremental() -%}
where inserted_at >= {{ unseen_since(this) }}
{%- endif %}
