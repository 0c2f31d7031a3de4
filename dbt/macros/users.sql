{# The aggregate that counts users, with a suffix: users('State'), users('Merge'). #}
{% macro users(suffix='') -%}
    {{ var('users_aggregate') }}{{ suffix }}
{%- endmacro %}

{# Distinct users of a day and of the n days before it. `users` is the column with the daily states. #}
{% macro active_users(days_before) -%}
    {{ users('Merge') }}(users) over (order by date range between {{ days_before }} preceding and current row)
{%- endmacro %}
