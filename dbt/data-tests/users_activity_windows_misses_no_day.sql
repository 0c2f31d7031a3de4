-- A day whose window is not as users_activity_aggr has it, though nothing in it has changed since the model last looked.

with

expected as (

    select
        days.date + later as date,
        groupBitXor(sipHash64(days.date, events, fingerprint)) as fingerprint,
        max(built_at) as last_change
    from {{ ref('users_activity_aggr') }} as days final
    array join range(31) as later
    where days.date >= {{ tested_from() }} - 30
    group by days.date + later

),

windows as (

    select
        date,
        fingerprint
    from {{ ref('users_activity_windows') }} final

)

select
    expected.date as date,
    expected.last_change as last_change
from expected
left join windows on windows.date = expected.date
where expected.date >= {{ tested_from() }}
    and windows.fingerprint != expected.fingerprint
    and expected.last_change < {{ unseen_since(ref('users_activity_windows')) }}
