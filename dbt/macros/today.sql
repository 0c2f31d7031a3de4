{# The day it is, UTC, when the query runs. A macro, so that unit tests can stop the clock. #}
{% macro today() -%}
    toDate(now(), 'UTC')
{%- endmacro %}
