-- A step that more users reach than the one before.
select date, step, users, conversion_from_previous
from {{ ref('funnel') }}
where date >= {{ tested_from() }}
    and (conversion_from_previous > 1 or (conversion_from_previous is null and step > 1 and users > 0))
