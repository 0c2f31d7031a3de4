{{
    config(
        engine=engine('AggregatingMergeTree'),
        order_by='user_id',
        incremental_strategy='append',
        on_schema_change='fail',
    )
}}

select
    user_id,
    cast(min(date) as SimpleAggregateFunction(min, Date)) as first_day
from {{ ref('stg_site_arrivals') }}
{% if is_incremental() -%}
where inserted_at >= {{ unseen_since(this) }}
{%- endif %}
group by user_id
