{# What the vars say about experiments, as SQL. #}

{# experiment_controls: a Map(String, String) of experiment to variant. #}
{% macro experiment_controls() -%}
    cast(map(
        {%- for experiment, variant in var('experiment_controls').items() -%}
            {{ string_literal(experiment) }}, {{ string_literal(variant) }}{{ ', ' if not loop.last }}
        {%- endfor -%}
    ), 'Map(String, String)')
{%- endmacro %}

{# experiment_shares: a Map(String, Map(String, Float64)) of experiment to variant to share. #}
{% macro experiment_shares() -%}
    cast(map(
        {%- for experiment, shares in var('experiment_shares').items() -%}
            {{ string_literal(experiment) }}, map(
            {%- for variant, share in shares.items() -%}
                {{ string_literal(variant) }}, toFloat64({{ share }}){{ ', ' if not loop.last }}
            {%- endfor -%}
            ){{ ', ' if not loop.last }}
        {%- endfor -%}
    ), 'Map(String, Map(String, Float64))')
{%- endmacro %}

{# The variants that the vars name, as an array of (experiment, variant). #}
{% macro named_variants() -%}
    {%- set named = [] -%}
    {%- for experiment, variant in var('experiment_controls').items() -%}
        {%- do named.append((experiment, variant)) -%}
    {%- endfor -%}
    {%- for experiment, shares in var('experiment_shares').items() -%}
        {%- for variant in shares -%}
            {%- do named.append((experiment, variant)) -%}
        {%- endfor -%}
    {%- endfor -%}
    cast([
        {%- for experiment, variant in named | unique -%}
            ({{ string_literal(experiment) }}, {{ string_literal(variant) }}){{ ', ' if not loop.last }}
        {%- endfor -%}
    ], 'Array(Tuple(experiment String, variant String))')
{%- endmacro %}

{# A value of the control, on each row of its experiment. #}
{% macro of_control(column) -%}
    anyIf({{ column }}, is_control) over (partition by experiment)
{%- endmacro %}
