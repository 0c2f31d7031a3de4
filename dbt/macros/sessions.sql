{# The id of a session: a UUID (version 8, which is whatever its maker likes) of who and since when. #}
{% macro session_id(user_id, started_at) -%}
    arrayMap(
        h -> toUUID(concat(
            substring(h, 1, 8), '-', substring(h, 9, 4), '-8', substring(h, 14, 3), '-',
            translate(substring(h, 17, 1), '0123456789ABCDEF', '89AB89AB89AB89AB'), substring(h, 18, 3), '-',
            substring(h, 21, 12)
        )),
        [hex(sipHash128('session', {{ user_id }}, toUnixTimestamp({{ started_at }})))]
    )[1]
{%- endmacro %}

{# How many days after its last event a session may go on: one, unless a timeout is longer than a day. #}
{% macro session_reach_days() -%}
    {{ var('session_timeout_seconds') // 86400 + 1 }}
{%- endmacro %}

{# The first of the recent days, which the tests of sessions look at. Days after today are a wrong clock's. #}
{% macro session_test_since() -%}
    (select least(max(date), {{ today() }}) - {{ var('test_days') - 1 }} from {{ ref('sessions_built') }})
{%- endmacro %}
