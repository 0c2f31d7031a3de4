-- The pages of the newest days against a count over the raw events, whose addresses are taken apart by a pattern. On a
-- busy site events arrive between the model's run and this test: a day is compared when nothing has come for it since the model
-- last looked.

with

moving as (

    select distinct date
    from {{ ref('stg_site_arrivals') }}
    where inserted_at >= {{ unseen_since(ref('page_days')) }}

),

settled as (

    select distinct date
    from {{ ref('stg_site_events') }}
    where date >= {{ tested_from() }}
        and date < {{ tested_from() }} + {{ var('test_days') }}
        and date not in (select date from moving)

),

-- An address once: the pattern takes its time.
addresses as (

    select
        date,
        url,
        groupUniqArray(event_id) as views,
        groupUniqArray(user_id) as users,
        extractGroups(url, '^(?i:(https?):)?/*(?:[^/?#]*@)?([^/?#]*?)(:[0-9]*)?(/[^?#]*)?(?:[?#](?s:.*))?$') as parts
    from {{ ref('stg_site_events') }}
    where ({{ var('page_view') }}) and date in (select date from settled)
    group by date, url

),

brute_force as (

    select
        date,
        leftUTF8(
            lower(parts[2])
            || if(parts[3] in (':', if(lower(parts[1]) = 'https', ':443', ':80')), '', parts[3])
            || if(parts[4] = '', '/', parts[4]),
            {{ var('page_characters') }}
        ) as page,
        uniqExactArray(views) as views,
        uniqExactArray(users) as users
    from addresses
    group by date, page

),

pages as (

    select date, page, views, users
    from {{ ref('pages') }}
    where date in (select date from settled)

)

select
    date,
    page,
    pages.views as views,
    brute_force.views as expected_views,
    pages.users as users,
    brute_force.users as expected_users
from pages
full outer join brute_force using (date, page)
where (pages.views, pages.users) != (brute_force.views, brute_force.users)
