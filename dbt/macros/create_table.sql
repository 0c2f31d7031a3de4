{# Two runs may make a model's table at the same time, the first time that there are two. dbt-clickhouse's statement fails in the
   one that is later. Here it finds the table there, and adds its rows to it, as a later run would. #}
{% macro create_table_or_empty(temporary, relation, sql, has_contract) -%}
    {%- set statement = dbt.create_table_or_empty(temporary, relation, sql, has_contract) -%}
    {#- Not the table that a full refresh makes beside the old one. -#}
    {%- if relation.identifier == this.identifier and not temporary -%}
        {{ statement | replace('create table ', 'create table if not exists ', 1) }}
    {%- else -%}
        {{ statement }}
    {%- endif -%}
{%- endmacro %}
