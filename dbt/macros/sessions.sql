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
