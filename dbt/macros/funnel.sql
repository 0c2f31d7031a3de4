{# The condition of a step of the funnel: it may name a var that is one. #}
{% macro funnel_condition(step) -%}
    ({{ var(step.condition, step.condition) }})
{%- endmacro %}
