with

-- Where a user was seen first is where they stay; of two variants in one second the first by name is it.
exposures as (

    select
        experiment,
        user_id,
        argMin(seen.variant, (seen.exposed_at, seen.variant)) as variant,
        toDateTime(min(seen.exposed_at), 'UTC') as exposed_at,
        min(seen.variant) != max(seen.variant) as is_switcher
    from {{ ref('experiment_exposures') }} as seen
    group by experiment, user_id

),

bought as (

    select user_id, groupArray((dt, amount)) as purchases
    from {{ ref('purchases') }} {{ final() }}
    group by user_id

),

members as (

    select
        toString(exposures.experiment) as experiment,
        toString(exposures.variant) as variant,
        exposures.exposed_at as exposed_at,
        exposures.is_switcher as is_switcher,
        arrayFilter(purchase -> purchase.1 >= exposures.exposed_at, bought.purchases) as converting,
        arraySum(purchase -> purchase.2, converting) as revenue
    from exposures
    left any join bought on bought.user_id = exposures.user_id

),

variants as (

    select
        experiment,
        variant,
        count() as users,
        countIf(is_switcher) as switchers,
        countIf(notEmpty(converting)) as conversions,
        sumKahan(members.revenue) as revenue,
        -- In one pass, and without the difference of two large sums.
        varSampStable(members.revenue) as revenue_variance,
        toNullable(min(exposed_at)) as first_exposure,
        toNullable(max(exposed_at)) as last_exposure
    from members
    group by experiment, variant

),

-- A variant that the vars name is there before anybody has seen it: it may be broken.
unseen_variants as (

    select
        named.experiment as experiment,
        named.variant as variant,
        toUInt64(0) as users,
        toUInt64(0) as switchers,
        toUInt64(0) as conversions,
        toFloat64(0) as revenue,
        nan as revenue_variance,
        cast(null as Nullable(DateTime('UTC'))) as first_exposure,
        cast(null as Nullable(DateTime('UTC'))) as last_exposure
    from (select arrayJoin({{ named_variants() }}) as named)

),

all_variants as (

    select
        experiment,
        variant,
        sum(every.users) as users,
        sum(every.switchers) as switchers,
        sum(every.conversions) as conversions,
        sum(every.revenue) as revenue,
        anyIf(every.revenue_variance, every.users > 0) as revenue_variance,
        any(every.first_exposure) as first_exposure,
        any(every.last_exposure) as last_exposure,
        sum(sum(every.users)) over (partition by experiment) as users_of_experiment,
        -- The least of its experiment is the control, of equal ones the first by name.
        multiIf(
            mapContains({{ experiment_controls() }}, experiment), toUInt64(variant != {{ experiment_controls() }}[experiment]),
            has({{ strings_literal(var('control_variants')) }}, variant),
            indexOf({{ strings_literal(var('control_variants')) }}, variant),
            toUInt64({{ var('control_variants') | length + 1 }})
        ) as rank
    from (
        select * from variants
        union all
        select * from unseen_variants
    ) as every
    group by experiment, variant

),

-- Rows of experiments that the vars name and nobody has seen are left out here.
with_control as (

    select
        *,
        argMin(variant, (rank, variant)) over (partition by experiment) = variant as is_control,
        if(
            mapContains({{ experiment_shares() }}, experiment), {{ experiment_shares() }}[experiment][variant], 1.
        ) as weight,
        users_of_experiment * weight / sum(weight) over (partition by experiment) as expected_users,
        conversions / users as conversion_rate,
        revenue / users as revenue_per_user,
        revenue_variance / users as revenue_error_squared
    from all_variants
    where users_of_experiment > 0

),

compared as (

    select
        *,
        {{ of_control('users') }} as control_users,
        {{ of_control('conversions') }} as control_conversions,
        {{ of_control('conversion_rate') }} as control_rate,
        {{ of_control('revenue_per_user') }} as control_revenue_per_user,
        {{ of_control('revenue_error_squared') }} as control_revenue_error_squared,

        -- Conversion.
        conversion_rate - control_rate as difference,
        sqrt(conversion_rate * (1 - conversion_rate) / users + control_rate * (1 - control_rate) / control_users)
            as difference_error,
        (conversions + control_conversions) / (users + control_users) as pooled_rate,
        sqrt(pooled_rate * (1 - pooled_rate) * (1 / users + 1 / control_users)) as pooled_error,
        log(conversion_rate / control_rate) as log_ratio,
        sqrt(
            (users - conversions) / users / conversions
            + (control_users - control_conversions) / control_users / control_conversions
        ) as log_ratio_error,

        -- Revenue: Welch's t and its degrees of freedom.
        revenue_per_user - control_revenue_per_user as revenue_difference,
        revenue_error_squared + control_revenue_error_squared as revenue_difference_error_squared,
        sqrt(revenue_difference_error_squared) as revenue_difference_error,
        revenue_difference / revenue_difference_error as t,
        1 / (
            pow(revenue_error_squared / revenue_difference_error_squared, 2) / (users - 1)
            + pow(control_revenue_error_squared / revenue_difference_error_squared, 2) / (control_users - 1)
        ) as df,

        -- The numbers of users.
        sumIf(pow(users - expected_users, 2) / expected_users, expected_users > 0) over (partition by experiment) as chi_square,
        countIf(expected_users > 0) over (partition by experiment) as possible_variants,
        countIf(expected_users = 0 and users > 0) over (partition by experiment) as impossible_variants
    from with_control

),

-- An interval or a p-value is there only when its standard error is not zero: without any spread there is nothing to go by.
tested as (

    select
        *,
        {{ two_sided_z(var('experiment_confidence')) }} as z,
        if(df > 0, {{ two_sided_t(var('experiment_confidence'), 'df') }}, nan) as t_quantile,
        if(is_control or not difference_error > 0, nan, difference_error * z) as difference_margin,
        if(is_control or not log_ratio_error > 0 or isInfinite(log_ratio_error), nan, log_ratio_error * z) as log_ratio_margin,
        if(is_control or not revenue_difference_error > 0, nan, revenue_difference_error * t_quantile) as revenue_margin,
        if(is_control or not pooled_error > 0, nan, {{ two_sided_p('difference / pooled_error') }}) as p_value,
        if(is_control or not revenue_difference_error > 0, nan, {{ student_p('t', 'df') }}) as revenue_p_value,
        -- On the control's row: the series has as many terms as there are variants, and clients may make up many.
        multiIf(
            not is_control or possible_variants < 2 and impossible_variants = 0, nan,
            impossible_variants > 0, 0.,
            {{ chi_square_p('chi_square', 'if(is_control, possible_variants - 1, 1)') }}
        ) as control_srm_p_value
    from compared

),

experiments as (

    select
        experiment,
        variant,
        is_control,
        users,
        switchers,
        conversions,
        {{ finite('tested.conversion_rate') }} as conversion_rate,
        round({{ finite('tested.revenue') }}, 6) as revenue,
        {{ finite('tested.revenue_per_user') }} as revenue_per_user,
        if(is_control, null, {{ finite('(tested.difference / control_rate)') }}) as uplift,
        {{ finite('(exp(log_ratio - log_ratio_margin) - 1)') }} as uplift_low,
        {{ finite('(exp(log_ratio + log_ratio_margin) - 1)') }} as uplift_high,
        if(is_control, null, {{ finite('tested.difference') }}) as difference,
        {{ finite('(tested.difference - difference_margin)') }} as difference_low,
        {{ finite('(tested.difference + difference_margin)') }} as difference_high,
        {{ finite('tested.p_value') }} as p_value,
        if(is_control, null, {{ finite('tested.revenue_difference') }}) as revenue_difference,
        {{ finite('(tested.revenue_difference - revenue_margin)') }} as revenue_difference_low,
        {{ finite('(tested.revenue_difference + revenue_margin)') }} as revenue_difference_high,
        {{ finite('tested.revenue_p_value') }} as revenue_p_value,
        {{ of_control(finite('control_srm_p_value')) }} as srm_p_value,
        coalesce(srm_p_value < {{ var('experiment_srm_below') }}, 0) as srm_detected,
        first_exposure,
        last_exposure
    from tested

)

select * from experiments
