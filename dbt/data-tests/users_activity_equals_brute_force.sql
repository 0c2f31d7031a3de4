{{ config(enabled=(var('users_aggregate') == 'uniqExact')) }}

-- DAU, WAU and MAU of every day against a count of distinct ids over the raw events, copies and all.
-- On a busy site events arrive between the model's run and this test. A day is compared when the thirty days that end
-- with it hold just the events that the model has seen: their fingerprints are equal. Which days the model should have
-- seen is the business of users_activity_aggr_misses_no_day.

with

today as (

    select max(date) as last_day from {{ ref('users_activity') }}

),

raw_days as (

    select
        date,
        groupUniqArray(user_id) as ids,
        groupBitXor(sipHash64(event_id, user_id)) as fingerprint
    from {{ ref('stg_site_events') }}
    where date > (select last_day from today) - {{ var('brute_force_days') }} - 29
    group by date

),

checked as (

    select
        raw_days.date as date,
        raw_days.ids as ids,
        raw_days.fingerprint != aggr.fingerprint as has_changed
    from raw_days
    left join (select date, fingerprint from {{ ref('users_activity_aggr') }} final) as aggr on aggr.date = raw_days.date

),

-- Each day once for every day whose thirty days it is in, that many days later.
spread as (

    select
        date + later as date,
        arrayJoin(range(30)) as later,
        ids,
        has_changed
    from checked

),

brute_force as (

    select
        date,
        uniqExactArrayIf(ids, later = 0) as dau,
        uniqExactArrayIf(ids, later < 7) as wau,
        uniqExactArray(ids) as mau,
        max(has_changed) as has_changed
    from spread
    group by date

)

select
    mart.date as date,
    mart.dau as dau, mart.wau as wau, mart.mau as mau,
    brute_force.dau as expected_dau, brute_force.wau as expected_wau, brute_force.mau as expected_mau
from {{ ref('users_activity') }} as mart
left join brute_force on brute_force.date = mart.date
where mart.date > (select last_day from today) - {{ var('brute_force_days') }}
    and not brute_force.has_changed
    and (mart.dau, mart.wau, mart.mau) != (brute_force.dau, brute_force.wau, brute_force.mau)
