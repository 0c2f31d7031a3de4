-- One row a variant, one control an experiment, no number beyond its bounds, none that JSON cannot
-- hold. One test, so that the mart is read once.

with

mart as (

    select
        *,
        count() over (partition by experiment, variant) as rows_of_variant,
        sum(is_control) over (partition by experiment) as controls,
        uniqExact(srm_p_value) over (partition by experiment) as srm_p_values
    from {{ ref('experiments') }}

)

select experiment, variant
from mart
where rows_of_variant != 1
    or controls != 1
    or srm_p_values > 1
    or switchers > users
    or conversions > users
    or first_exposure > last_exposure
    or not (p_value between 0 and 1)
    or not (revenue_p_value between 0 and 1)
    or not (srm_p_value between 0 and 1)
    -- A last digit may be off where the interval has next to no width.
    or not (uplift between uplift_low - 1e-9 and uplift_high + 1e-9)
    or not (difference between difference_low and difference_high)
    or not (revenue_difference between revenue_difference_low and revenue_difference_high)
    or is_control and (uplift is not null or p_value is not null or revenue_p_value is not null)
    or arrayExists(x -> not isFinite(x), [
        conversion_rate, revenue, revenue_per_user, uplift, uplift_low, uplift_high, difference, difference_low, difference_high,
        p_value, revenue_difference, revenue_difference_low, revenue_difference_high, revenue_p_value, srm_p_value
    ])
