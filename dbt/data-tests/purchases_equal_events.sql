-- A purchase of the newest days that the model has not, or has otherwise, though it arrived before the model last looked; or that
-- the model has and the events have not.

with

raw_purchases as (

    select dt, name, obj, obj_id, event_id, user_id, amount, received_at, inserted_at
    from {{ ref('stg_site_events') }}
    where ({{ var('purchase') }}) and date >= {{ tested_from() }}

),

model_purchases as (

    select dt, name, obj, obj_id, event_id, user_id, amount, received_at
    from {{ ref('purchases') }} final
    where dt >= {{ tested_from() }}

)

select 'not in the model' as fault, dt, event_id
from raw_purchases
where inserted_at < {{ unseen_since(ref('purchases')) }}
    and (dt, name, obj, obj_id, event_id, user_id, amount, received_at) not in (select * from model_purchases)

union all

select 'not in the events' as fault, dt, event_id
from model_purchases
where (dt, name, obj, obj_id, event_id) not in (select dt, name, obj, obj_id, event_id from raw_purchases)
    -- What a run that is under way just found may be newer than what was read of the events.
    and received_at < {{ unseen_since(ref('purchases')) }}
