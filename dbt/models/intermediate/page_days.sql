-- depends_on: {{ ref('stg_site_arrivals') }}
{{
    config(
        engine=engine('ReplacingMergeTree(built_at, is_deleted)'),
        partition_by='toYYYYMM(date)',
        order_by='(date, page)',
        incremental_strategy='append',
        query_settings={
            'max_partitions_per_insert_block': 0,
            'max_bytes_before_external_group_by': 2000000000,
        },
    )
}}

{#-
    A day with arrivals is counted again from its own events. As in users_activity_aggr only rows that are no longer what they
    were are appended. A copy of an event may have another address than the one before it: a page that is left without views by
    that leaves a tombstone, as a session does whose start moved.
-#}

with

{% if is_incremental() -%}

unseen as (

    select {{ unseen_since(this) }} as since

),

days_with_arrivals as (

    select distinct date
    from {{ ref('stg_site_arrivals') }}
    where inserted_at >= (select since from unseen)

),

{% endif -%}

events as (

    select * from {{ ref('stg_site_events') }}
    {% if is_incremental() -%}
    where date in (select date from days_with_arrivals)
    {%- endif %}

),

page_views as (

    select
        date,
        event_id,
        user_id,
        startsWith(lower(url), 'https:') as is_https,
        -- Whichever comes first: cutQueryStringAndFragment leaves a fragment that has a question mark in it. Slashes and the
        -- scheme are left away as browsers do, so that http:user@host, which is no way to write it, hides no user either.
        replaceRegexpOne(substringIndex(substringIndex(url, '#', 1), '?', 1), '^(?i:https?:)?/*', '') as address
    from events
    where {{ var('page_view') }}

),

split as (

    select
        date,
        event_id,
        user_id,
        is_https,
        substringIndex(address, '/', 1) as authority,
        substring(address, length(authority) + 1) as path,
        lower(substringIndex(authority, '@', -1)) as host
    from page_views

),

-- The port that the scheme has anyway is none.
pages as (

    select
        date,
        event_id,
        user_id,
        leftUTF8(
            concat(
                if(is_https, replaceRegexpOne(host, ':(443)?$', ''), replaceRegexpOne(host, ':(80)?$', '')),
                if(path = '', '/', path)
            ),
            {{ var('page_characters') }}
        ) as page
    from split

),

counts as (

    select
        date,
        page,
        uniqExact(event_id) as views,
        uniqExact(user_id) as users
    from pages
    group by date, page

),

{% if is_incremental() -%}

known as (

    select date, page, views, users
    from {{ this }} {{ final() }}
    where date in (select date from days_with_arrivals)

),

-- The key of a page that has no views any more comes with nothing but defaults.
changed_rows as (

    select
        date,
        page,
        counts.views as views,
        counts.users as users
    from counts
    full outer join known using (date, page)
    where (counts.views, counts.users) != (known.views, known.users)

)

{%- else -%}

changed_rows as (

    select * from counts

)

{%- endif %}

select
    date,
    page,
    views,
    users,
    toUInt8(views = 0) as is_deleted,
    now64(6, 'UTC') as built_at
from changed_rows
