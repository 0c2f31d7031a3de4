{# The aggregate that counts users, with a suffix: users('State'), users('Merge'). #}
{% macro users(suffix='') -%}
    {{ var('users_aggregate') }}{{ suffix }}
{%- endmacro %}

{# Distinct users from so many days before a day to so many days before it. `users` is the column with the daily states. #}
{% macro active_users(from_days_before, to_days_before=0) -%}
    {{ users('Merge') }}(users) over (
        order by date
        range between {{ from_days_before }} preceding and
            {{ to_days_before ~ ' preceding' if to_days_before else 'current row' }}
    )
{%- endmacro %}
