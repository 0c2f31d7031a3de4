{{ config(enabled=(var('users_aggregate') == 'uniqExact')) }}

-- The numbers of a day against a count of distinct ids over the raw events of its thirty-one days.
-- On a busy site events arrive between the model's run and this test. A day is compared when those days hold just the events
-- that the model has seen: their fingerprints are equal. Which days the model should have seen is the business of
-- users_activity_aggr_misses_no_day and users_activity_windows_misses_no_day.

with

raw_days as (

    select
        date,
        groupUniqArray(user_id) as ids,
        sipHash64(date, count(), groupBitXor(sipHash64(event_id, user_id))) as fingerprint
    from {{ ref('stg_site_events') }}
    where date >= {{ tested_from() }} - 30 and date < {{ tested_from() }} + {{ var('test_days') }}
    group by date

),

-- Each day once for every tested day whose numbers it is in, that many days later.
spread as (

    select
        raw_days.date + later as date,
        later,
        ids,
        fingerprint
    from raw_days
    array join arrayFilter(
        n -> raw_days.date + n >= {{ tested_from() }} and raw_days.date + n < {{ tested_from() }} + {{ var('test_days') }},
        range(31)
    ) as later

),

brute_force as (

    select
        date,
        uniqExactArrayIf(ids, later = 0) as dau,
        uniqExactArrayIf(ids, later < 7) as wau,
        uniqExactArrayIf(ids, later < 30) as mau,
        length(arrayIntersect(groupUniqArrayArrayIf(ids, later = 0), groupUniqArrayArrayIf(ids, later > 0))) as returning_users,
        groupBitXor(fingerprint) as fingerprint
    from spread
    group by date

),

windows as (

    select
        date,
        fingerprint
    from {{ ref('users_activity_windows') }} final

)

select
    mart.*,
    brute_force.dau as expected_dau,
    brute_force.wau as expected_wau,
    brute_force.mau as expected_mau,
    brute_force.returning_users as expected_returning_users
from {{ ref('users_activity') }} as mart
inner join brute_force on brute_force.date = mart.date
inner join windows on windows.date = mart.date
where brute_force.fingerprint = windows.fingerprint
    and (
        mart.dau != brute_force.dau
        or mart.wau != brute_force.wau
        or mart.mau != brute_force.mau
        or mart.returning_users != brute_force.returning_users
    )
