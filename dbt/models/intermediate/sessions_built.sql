-- depends_on: {{ ref('stg_site_arrivals') }}
{{
    config(
        engine=engine('ReplacingMergeTree(built_at, is_deleted)'),
        partition_by='toYYYYMM(date)',
        order_by='(date, user_id, started_at)',
        indexes=[{'name': 'if not exists days_bloom', 'definition': 'days TYPE bloom_filter(0.001) GRANULARITY 1'}],
        incremental_strategy='append',
        query_settings={
            'max_partitions_per_insert_block': 0,
            'max_bytes_before_external_group_by': 2000000000,
            'max_bytes_before_external_sort': 2000000000,
        },
    )
}}

{#-
    A session is made of parts, one for each of its days: a chain of events that midnight ends as a timeout does. A run counts
    the parts of each user's days with arrivals from the events, takes the other parts of the sessions around from the
    sessions themselves, and strings them together anew. So a session that never ends, such as a monitor's or that of a
    user id that all visitors share, costs a run its new days only.

    Sessions are more than the timeout apart. What an arrival can join has an event within the timeout of it, so on its day or
    next to it; those are the sessions around. One that turns out as it was is left alone; one whose start changed or that was
    joined to another leaves a tombstone; all of it is one INSERT.

    Two runs at once may leave sessions that overlap, each having missed what the other wrote. The run after them looks at the
    arrivals of both again, for the lag, finds all those sessions around them, and makes of them what one run would have made.

    Events that somebody deletes tell of nothing: after that, a full refresh.
-#}

{%- set timeout = var('session_timeout_seconds') -%}
{%- set reach = days_reached(timeout) | int -%}
{#- Added to a place or a time where the events with pages are to come first (or last). -#}
{%- set far = 'toUInt64(1e18)' %}

with

{% if is_incremental() -%}

unseen as (

    select {{ unseen_since(this) }} as since

),

arrivals as (

    select distinct user_id, date
    from {{ ref('stg_site_arrivals') }}
    where inserted_at >= (select since from unseen)

),

-- All sessions of these users on these days and the days next to them, by the index on `days`: more than needed, no harm.
sessions_around as (

    select * from {{ this }} {{ final() }}
    where hasAny(days, (select groupUniqArrayArray(arrayMap(n -> date + n, range(-{{ reach }}, {{ reach }} + 1))) from arrivals))
        and user_id in (select user_id from arrivals)

),

{% endif -%}

events as (

    select
        user_id,
        date,
        dt,
        event_id,
        url,
        amount,
        ({{ var('page_view') }}) as is_page
    from {{ ref('stg_site_events') }}
    {% if is_incremental() -%}
    where date in (select date from arrivals)
        and (user_id, date) in (select user_id, date from arrivals)
    {%- endif %}

),

events_spaced as (

    select
        *,
        row_number() over user_day as place,
        -- In seconds: a time that late in 2106 and the timeout are more than a time holds.
        toUnixTimestamp(dt) > toUnixTimestamp(lagInFrame(dt) over user_day) + {{ timeout }} as begins
    from events
    window user_day as (
        partition by user_id, date order by dt, event_id, url rows between unbounded preceding and current row
    )

),

events_numbered as (

    select
        *,
        -- By place: two events of one id and second, sorted again, may change theirs.
        sum(begins) over (
            partition by user_id, date order by place rows between unbounded preceding and current row
        ) as part
    from events_spaced

),

parts_counted as (

    select
        e.user_id as user_id,
        e.date as date,
        min(e.dt) as first_at,
        max(e.dt) as last_at,
        count() as events,
        countIf(e.is_page) as pages,
        round(sumKahan(e.amount), 6) as revenue,
        argMin(e.url, e.place + if(e.is_page, 0, {{ far }})) as entry_url,
        argMax(e.url, e.place + if(e.is_page, {{ far }}, 0)) as exit_url
    from events_numbered as e
    group by e.user_id, e.date, e.part

),

{% if is_incremental() -%}

parts_kept as (

    select
        user_id,
        toDate(part.1) as date,
        part.1 as first_at,
        part.2 as last_at,
        part.3 as events,
        part.4 as pages,
        part.5 as revenue,
        part.6 as entry_url,
        part.7 as exit_url
    from (
        select
            user_id,
            built_at,
            arrayJoin(
                if(empty(parts), [(started_at, ended_at, events, pages, revenue, entry_url, exit_url)], parts)
            ) as part
        from sessions_around
    ) as unfolded
    -- Two runs at once may have left two sessions with the same part.
    order by built_at desc
    limit 1 by user_id, first_at

),

parts_known as (

    select *, 1 as is_counted from parts_counted
    union all
    select *, 0 as is_counted from parts_kept

),

-- A day that was counted is as it was counted, whatever was there.
parts as (

    select * except (is_counted, is_counted_day)
    from (select *, max(is_counted) over (partition by user_id, date) as is_counted_day from parts_known) as marked
    where is_counted = is_counted_day

),

{% else -%}

parts as (

    select * from parts_counted

),

{% endif -%}

parts_spaced as (

    select
        *,
        toUnixTimestamp(first_at) > toUnixTimestamp(max(last_at) over (
            partition by user_id order by first_at rows between unbounded preceding and 1 preceding
        )) + {{ timeout }} as begins
    from parts

),

parts_numbered as (

    select
        *,
        sum(begins) over (
            partition by user_id order by first_at rows between unbounded preceding and current row
        ) as session
    from parts_spaced

),

sessions_whole as (

    select
        p.user_id as user_id,
        min(p.first_at) as started_at,
        max(p.last_at) as ended_at,
        sum(p.events) as events,
        sum(p.pages) as pages,
        round(sum(p.revenue), 6) as revenue,
        argMin(p.entry_url, toUnixTimestamp(p.first_at) + if(p.pages > 0, 0, {{ far }})) as entry_url,
        argMax(p.exit_url, toUnixTimestamp(p.first_at) + if(p.pages > 0, {{ far }}, 0)) as exit_url,
        arraySort(groupArray(
            (p.first_at, p.last_at, p.events, p.pages, p.revenue, p.entry_url, p.exit_url)
        )) as all_parts
    from parts_numbered as p
    group by p.user_id, p.session

),

sessions as (

    select
        * except (all_parts),
        arrayMap(part -> toDate(part.1), all_parts) as days,
        -- Of a session within a day the part would say everything again.
        if(length(all_parts) > 1, all_parts, []) as parts
    from sessions_whole

),

{% if is_incremental() -%}

-- The key of a session that is no more comes with nothing but defaults: no events.
changed_sessions as (

    select
        user_id,
        started_at,
        s.ended_at as ended_at,
        s.events as events,
        s.pages as pages,
        s.revenue as revenue,
        s.entry_url as entry_url,
        s.exit_url as exit_url,
        s.days as days,
        s.parts as parts
    from sessions as s
    full outer join sessions_around as was using (user_id, started_at)
    where (s.ended_at, s.events, s.pages, s.revenue, s.entry_url, s.exit_url, s.parts)
        != (was.ended_at, was.events, was.pages, was.revenue, was.entry_url, was.exit_url, was.parts)

),

{% else -%}

changed_sessions as (

    select * from sessions

),

{% endif -%}

stamped as (

    select
        {{ session_id('user_id', 'started_at') }} as session_id,
        user_id,
        toDate(started_at) as date,
        started_at,
        ended_at,
        events,
        pages,
        entry_url,
        exit_url,
        revenue,
        days,
        parts,
        toUInt8(events = 0) as is_deleted,
        now64(6, 'UTC') as built_at
    from changed_sessions

)

select * from stamped
