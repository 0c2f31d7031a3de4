-- A day with two rows in one run.
select date, built_at, count() as versions
from {{ ref('users_activity_aggr') }}
where date >= {{ tested_from() }}
group by date, built_at
having versions > 1
