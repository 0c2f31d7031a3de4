{# The first day that the tests look at, as a scalar subquery: so many days up to the newest with events. They run with every
   `dbt build`, and must not read all of history. `weir dbt test --vars '{test_days: 400}'` looks at more. #}
{% macro tested_from() -%}
    (
        select max(date) - {{ var('test_days') - 1 }}
        from {{ ref('users_activity_aggr') }}
        where date <= {{ today() }}
    )
{%- endmacro %}
