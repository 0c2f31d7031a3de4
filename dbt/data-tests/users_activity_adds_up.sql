-- A day whose users are not the new, the returning and the resurrected ones, that is there twice, or that no day comes before.
with

days as (

    select
        *,
        row_number() over (order by date) as place,
        min(date) over () as first_day
    from {{ ref('users_activity') }}

)

select *
from days
where dau != new_users + returning_users + resurrected_users
    or not (stickiness between 0 and 1)
    or date != first_day + (place - 1)
