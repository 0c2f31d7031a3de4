{#- Distributions, written in functions that ClickHouse has. Each keeps its relative precision in the tail, where a p-value of
    1e-40 is a finding and 1 - 0.9999… is zero. data-tests/statistics_equal_scipy.sql compares them with scipy. -#}

{# x, or null where it is NaN or infinite: JSON has neither. #}
{% macro finite(x) -%}
    if(isFinite({{ x }}), {{ x }}, null)
{%- endmacro %}

{# The two-sided p-value of a standard normal z: P(|Z| >= |z|). #}
{% macro two_sided_p(z) -%}
    erfc(abs({{ z }}) / sqrt(2.))
{%- endmacro %}

{# How many standard errors an interval reaches to each side: the z with P(|Z| < z) = `confidence`, 1.96 for 0.95.
   Newton's method on log(erfc(z / sqrt(2))) = log(1 - confidence). That function is concave and falls, and sqrt(-2 log(1 -
   confidence)) is not below its root, so each step comes nearer, and eight are more than enough for all digits. #}
{% macro two_sided_z(confidence) -%}
    arrayFold(
        (z, step) -> z + (log(erfc(z / sqrt(2.))) - log(1. - {{ confidence }}))
            * erfc(z / sqrt(2.)) * exp(z * z / 2) * sqrt(pi() / 2),
        range(8),
        sqrt(-2. * log(1. - {{ confidence }}))
    )
{%- endmacro %}

{# P(X >= x) of chi-square with `df` degrees of freedom, a whole number from 1. The finite series of the incomplete gamma
   function: Q(df/2, x/2) = sum of e^(-x/2) (x/2)^a / gamma(a + 1) over a = 0, 1, … < df/2 when df is even; over a = 1/2, 3/2,
   … < df/2, and erfc(sqrt(x/2)) besides, when it is odd. All terms are positive. #}
{% macro chi_square_p(x, df) -%}
    if({{ x }} > 0,
        least(1., if({{ df }} % 2 = 1, erfc(sqrt({{ x }} / 2.)), 0.) + arraySum(
            i -> exp((i + ({{ df }} % 2) / 2.) * log({{ x }} / 2.) - {{ x }} / 2. - lgamma(i + ({{ df }} % 2) / 2. + 1)),
            range(intDiv(toUInt64({{ df }}), 2))
        )),
        1.)
{%- endmacro %}

{# Student's t with `df` degrees of freedom, any number from 1. Its density is (1 + t²/df) to the power -(df+1)/2, times a
   constant. This is the integral of the density from `t` (0 or more) on, in units of the density at `t`: the exp-sinh
   quadrature, whose nodes are x = scale * exp(pi/2 * sinh(k/20)). #}
{% macro student_tail(t, df) -%}
    (pi() / 40 * arraySum(
        node -> node.2 * (1 + ({{ t }}) * ({{ t }}) / {{ df }}) / (1 + {{ t }}) * exp(-({{ df }} + 1) / 2 * (
            log1p(pow({{ t }} + node.1 * (1 + ({{ t }}) * ({{ t }}) / {{ df }}) / (1 + {{ t }}), 2) / {{ df }})
            - log1p(({{ t }}) * ({{ t }}) / {{ df }})
        )),
        arrayMap(k -> (exp(pi() / 2 * sinh(k / 20.)), exp(pi() / 2 * sinh(k / 20.)) * cosh(k / 20.)), range(-80, 81))
    ))
{%- endmacro %}

{# The density at t in units of that at 0. #}
{% macro student_density(t, df) -%}
    exp(-({{ df }} + 1) / 2 * log1p(({{ t }}) * ({{ t }}) / {{ df }}))
{%- endmacro %}

{# The two-sided p-value: P(|T| >= |t|). #}
{% macro student_p(t, df) -%}
    {{ student_density(t, df) }} * {{ student_tail('abs(' ~ t ~ ')', df) }} / {{ student_tail('0.', df) }}
{%- endmacro %}

{# The t with P(|T| < t) = `confidence`. Newton's method from the normal quantile, which is not above it: P(|T| >= t) is convex
   and falls, so each step comes nearer from the left; with one degree of freedom it about doubles t at first. #}
{% macro two_sided_t(confidence, df) -%}
    arrayFold(
        (t, step) -> t + {{ student_tail('t', df) }}
            - (1. - {{ confidence }}) * {{ student_tail('0.', df) }} / {{ student_density('t', df) }},
        range(30),
        {{ two_sided_z(confidence) }}
    )
{%- endmacro %}
