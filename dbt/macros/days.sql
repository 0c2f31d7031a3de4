{# The day it is, UTC, when the query runs. A macro, so that unit tests can stop the clock. #}
{% macro today() -%}
    toDate(now(), 'UTC')
{%- endmacro %}

{# How many days later it may be at most after so many seconds: counted from a day's last second. #}
{% macro days_reached(seconds) -%}
    {{ (seconds + 86399) // 86400 }}
{%- endmacro %}
