{# The condition of a step of the funnel: it may name a var that is one. #}
{% macro funnel_condition(step) -%}
    ({{ var(step.condition, step.condition) }})
{%- endmacro %}

{# On how many days after that of its first step a chain can still go on: one that begins in a day's last second. #}
{% macro funnel_reach() -%}
    {{ (var('funnel_window_seconds') + 86399) // 86400 }}
{%- endmacro %}
