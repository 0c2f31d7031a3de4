{# The time from which `users_activity_aggr` has not seen every arrival: a scalar subquery, DateTime.

   It is the start of the last run, less the lag (see arrival_lag_seconds). Every row says how many rows its run wrote: a
   run that a crash cut short has fewer, and then counts for nothing: what it was to read is read again. A table without
   a row gives 1970: everything. #}
{% macro unseen_since(aggr) -%}
    (
        select
            if(
                count() = any(run_days),
                toDateTime(greatest(toUnixTimestamp(max(built_at)), {{ var('arrival_lag_seconds') }}) - {{ var('arrival_lag_seconds') }}),
                any(built_from)
            )
        from {{ aggr }}
        where built_at = (select max(built_at) from {{ aggr }})
    )
{%- endmacro %}
