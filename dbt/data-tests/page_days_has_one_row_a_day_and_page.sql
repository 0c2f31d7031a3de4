-- A day and page with two rows in one run.
select date, page, built_at, count() as versions
from {{ ref('page_days') }}
where date >= {{ tested_from() }}
group by date, page, built_at
having versions > 1
