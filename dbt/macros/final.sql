{# The modifier FINAL. A macro, because the rows of a unit test are a subquery, which takes none: there it is overridden. #}
{% macro final() -%}
    final
{%- endmacro %}
