{# A MergeTree engine, Replicated when the profile names a cluster: as `{replicated}` does in migrations/. #}
{% macro engine(name) -%}
    {%- if target.cluster -%}Replicated{%- endif -%}{{ name }}
{%- endmacro %}
