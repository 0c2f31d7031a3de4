{%- set runs -%}
    (
        select
            model,
            toDateTime64(began, 6, 'UTC') as began_at,
            toDateTime64(finished, 6, 'UTC') as finished_at
        from values(
            'model String, began String, finished String',
            -- A run that finished, as begin_run and finish_run note it.
            ('{{ this.name }}', '2026-01-01 10:00:00', '1970-01-01 00:00:00'),
            ('{{ this.name }}', '2026-01-01 10:00:00', '2026-01-01 10:05:00'),
            -- One that was cut short.
            ('{{ this.name }}', '2026-01-01 12:00:00', '1970-01-01 00:00:00'),
            -- One of another model.
            ('other', '2026-01-01 14:00:00', '2026-01-01 14:05:00')
        )
    )
{%- endset -%}

-- What arrived since the run that was cut short has not been seen, nor has what came before it: the next run begins where the
-- one before it did, less the lag.
select 'after a run that was cut short' as what
from system.one
where {{ unseen_since(this, runs) }} != toDateTime('2026-01-01 10:00:00', 'UTC') - {{ var('arrival_lag_seconds') }}

union all

-- A model that has finished no run has seen nothing.
select 'after no run' as what
from system.one
where toUnixTimestamp({{ unseen_since(this, '(select * from ' ~ runs ~ ' where finished_at < began_at)') }}) != 0
