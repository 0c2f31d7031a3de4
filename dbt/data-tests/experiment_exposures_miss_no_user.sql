-- An event of the newest days whose user is not in its variant by then, though the event arrived before the model last looked.

with

raw_exposures as (

    select experiment, user_id, variant, min(dt) as exposed_at
    from {{ ref('stg_site_events') }}
    array join mapKeys(exp) as experiment, mapValues(exp) as variant
    where date >= {{ tested_from() }}
        and inserted_at < {{ unseen_since(ref('experiment_exposures')) }}
    group by experiment, user_id, variant

),

-- Of those who were seen before these days nothing is asked.
model_exposures as (

    select experiment, user_id, variant, min(seen.exposed_at) as exposed_at, count() as times
    from {{ ref('experiment_exposures') }} as seen
    where (experiment, user_id) in (select experiment, user_id from raw_exposures)
    group by experiment, user_id, variant

)

select
    raw.experiment as experiment,
    raw.user_id as user_id,
    raw.variant as variant,
    raw.exposed_at as exposed_at,
    model.exposed_at as exposed_at_in_the_model
from raw_exposures as raw
left join model_exposures as model
    on model.experiment = raw.experiment and model.user_id = raw.user_id and model.variant = raw.variant
where model.times = 0 or model.exposed_at > raw.exposed_at
