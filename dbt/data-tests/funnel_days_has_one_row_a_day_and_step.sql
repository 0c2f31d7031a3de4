-- A day and step with two rows in one run.
select date, step, built_at, count() as versions
from {{ ref('funnel_days') }}
where date >= {{ tested_from() }}
group by date, step, built_at
having versions > 1
