{{ config(enabled=(var('test_days') > 31 and var('users_aggregate') == 'uniqExact')) }}

-- The new users of a day against the first days of all raw events. It reads all of history, whatever test_days is, so it is not
-- among the tests of every build. Days are compared when the models have had the time to see all that arrived.

with

first_days as (

    select
        user_id,
        min(date) as first_day
    from {{ ref('stg_site_events') }}
    group by user_id

),

brute_force as (

    select
        first_day,
        count() as new_users
    from first_days
    group by first_day

),

last_arrival as (

    select max(inserted_at) as at from {{ ref('stg_site_arrivals') }}

)

select
    mart.date as date,
    mart.new_users as new_users,
    brute_force.new_users as expected_new_users
from {{ ref('users_activity') }} as mart
left join brute_force on brute_force.first_day = mart.date
where mart.new_users != brute_force.new_users
    and (select at from last_arrival) < {{ unseen_since(ref('users_activity_aggr')) }}
    and (select at from last_arrival) < {{ unseen_since(ref('user_first_days')) }}
