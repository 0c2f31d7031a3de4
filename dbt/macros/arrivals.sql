{# Which arrivals an incremental model has not seen: everything that came since its last finished run began, less a lag.

   `dbt_runs` holds when each run of such a model began, by ClickHouse's clock, and when it had written everything. A run that
   was cut short has no end there and counts for nothing: what it was to read is read again. #}

{# Made before the models of each invocation. #}
{% macro create_dbt_runs() -%}
    create table if not exists {{ target.schema }}.dbt_runs {% if target.cluster %}on cluster '{{ target.cluster }}'{% endif %}
    (
        model         LowCardinality(String),
        invocation_id String,
        began_at      DateTime64(6, 'UTC'),
        finished_at   DateTime64(6, 'UTC')
    )
    engine = {{ engine('ReplacingMergeTree(finished_at)') }}
    order by (model, invocation_id)
    ttl toDateTime(began_at) + interval 90 day
{%- endmacro %}

{# A hook before an incremental model. #}
{% macro begin_run(model) -%}
    insert into {{ target.schema }}.dbt_runs (model, invocation_id, began_at, finished_at)
    select '{{ model.name }}', '{{ invocation_id }}', now64(6), toDateTime64(0, 6)
{%- endmacro %}

{# A hook after it. #}
{% macro finish_run(model) -%}
    insert into {{ target.schema }}.dbt_runs (model, invocation_id, began_at, finished_at)
    select model, invocation_id, max(began_at), now64(6)
    from {{ target.schema }}.dbt_runs
    where model = '{{ model.name }}' and invocation_id = '{{ invocation_id }}'
    group by model, invocation_id
{%- endmacro %}

{# The time from which that model may have missed arrivals: a scalar subquery, DateTime. 1970 when it has finished no run.
   `runs` are the rows of another table or subquery than dbt_runs: a test has its own. #}
{% macro unseen_since(model, runs=none) -%}
    (
        select
            toDateTime(
                greatest(toUnixTimestamp(max(began_at)), {{ var('arrival_lag_seconds') }}) - {{ var('arrival_lag_seconds') }}
            )
        from {{ runs or target.schema ~ '.dbt_runs' }}
        where model = '{{ model.name }}' and finished_at > began_at
    )
{%- endmacro %}
