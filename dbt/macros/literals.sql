{# SQL literals of what vars hold: names of experiments and variants may have any character in them. #}

{% macro string_literal(text) -%}
    '{{ (text | string).replace('\\', '\\\\').replace("'", "\\'") }}'
{%- endmacro %}

{# An Array(String) of a list. #}
{% macro strings_literal(list) -%}
    cast([{% for text in list %}{{ string_literal(text) }}{{ ', ' if not loop.last }}{% endfor %}], 'Array(String)')
{%- endmacro %}
