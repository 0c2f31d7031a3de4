"""Compares every mart with its definition, counted in Python over the raw events: row by row, column by column.

Usage: compare.py [--only MART ...] [--as-of DATE]

Reads ClickHouse at CLICKHOUSE_URL (CLICKHOUSE_USER, CLICKHOUSE_PASSWORD, CLICKHOUSE_DATABASE). Prints a line a mart with the
rows that were compared and those that differ, and the first of these. Exit code 0 when none does, 1 when any does.
Nothing may write to the warehouse meanwhile.
"""

import argparse
import datetime
import sys
import time

import numpy as np

import definitions
from warehouse import connect, read_events

EPOCH = datetime.date(1970, 1, 1)
# Of each column, and in all.
SHOWN, MOST_SHOWN = 5, 40

# Columns by how they are read and compared. The first are the key. `time` is a DateTime, `real` may be off by what a sum in
# another order is off by, `money` by as much and by the rounding of the mart, `statistic` by what two good approximations are.
MARTS = {
    "users_activity": {
        "date": "date", "dau": "number", "wau": "number", "mau": "number", "stickiness": "real", "new_users": "number",
        "returning_users": "number", "resurrected_users": "number",
    },
    "sessions": {
        "user_id": "number", "started_at": "time", "date": "date", "ended_at": "time", "duration_seconds": "number",
        "events": "number", "pages": "number", "entry_url": "text", "exit_url": "text", "revenue": "money",
    },
    "experiments": {
        "experiment": "text", "variant": "text", "is_control": "number", "users": "number", "switchers": "number",
        "conversions": "number", "conversion_rate": "real", "revenue": "money", "revenue_per_user": "real", "uplift": "real",
        "uplift_low": "statistic", "uplift_high": "statistic", "difference": "real", "difference_low": "statistic",
        "difference_high": "statistic", "p_value": "statistic", "revenue_difference": "money",
        "revenue_difference_low": "statistic", "revenue_difference_high": "statistic", "revenue_p_value": "statistic",
        "srm_p_value": "statistic", "srm_detected": "number", "first_exposure": "time", "last_exposure": "time",
    },
    "retention": {
        "period": "text", "cohort": "date", "n": "number", "cohort_size": "number", "users": "number", "rate": "real",
    },
    "funnel": {
        "date": "date", "step": "number", "step_name": "text", "users": "number", "conversion_from_first": "real",
        "conversion_from_previous": "real",
    },
    "pages": {"date": "date", "page": "text", "views": "number", "users": "number"},
}
KEYS = {"users_activity": 1, "sessions": 2, "experiments": 2, "retention": 3, "funnel": 2, "pages": 2}
TOLERANCES = {"real": (1e-9, 1e-12), "money": (1e-9, 2e-6), "statistic": (1e-6, 1e-9)}
READ = {"date": "toUInt16({})", "time": "toUnixTimestamp({})", "text": "toString({})"}


def say(text, passing=False):
    """Progress. What is passing is shown in a terminal only, and overwritten."""
    if not passing:
        print(text, file=sys.stderr, flush=True)
    elif sys.stderr.isatty():
        print(f"\r{text} ", end="", file=sys.stderr, flush=True)


def read_mart(client, mart, more=()):
    """The columns of a mart. NULL becomes NaN; NaN itself, which no mart may hold, becomes an infinity that equals nothing."""
    kinds = MARTS[mart]
    selected = [READ.get(kind, "{}").format(f"m.{name}") for name, kind in kinds.items()]
    result = client.query(f"select {', '.join([*selected, *more])} from {mart} as m", column_oriented=True)
    read = result.result_columns or [[] for _ in range(len(kinds) + len(more))]
    found = {}
    for (name, kind), values in zip(kinds.items(), read):
        if kind == "text":
            found[name] = np.array(values, dtype=object)
        elif kind in TOLERANCES:
            reals = np.array([np.nan if v is None else np.inf if v != v else v for v in values], dtype=np.float64)
            found[name] = reals
        else:
            found[name] = np.array(values, dtype=np.uint64 if name == "user_id" else np.int64)
    return found, read[len(kinds):]


def order_of(mart, found):
    keys = list(MARTS[mart])[: KEYS[mart]]
    return np.lexsort([np.asarray(found[key]).astype(str) if found[key].dtype == object else found[key] for key in keys[::-1]])


def differs(kind, expected, actual):
    """Which values are not the same."""
    if kind not in TOLERANCES:
        return np.asarray(expected != actual, dtype=bool)
    relative, absolute = TOLERANCES[kind]
    both_null = np.isnan(expected) & np.isnan(actual)
    return ~(np.isclose(actual, expected, rtol=relative, atol=absolute) | both_null)


def compare(mart, expected, actual, out=print):
    """Prints the mart's line; gives the number of rows that differ."""
    kinds, keys = MARTS[mart], list(MARTS[mart])[: KEYS[mart]]
    allowed = expected.pop("__allowed__", {})
    order = order_of(mart, expected)
    place_of = np.argsort(order)
    allowed = {(column, int(place_of[row])): words for (column, row), words in allowed.items()}
    expected = {name: column[order] for name, column in expected.items()}
    order = order_of(mart, actual)
    actual = {name: column[order] for name, column in actual.items()}

    rows = [list(zip(*(side[key].tolist() for key in keys))) for side in (expected, actual)]
    findings, bad = [], 0
    if rows[0] == rows[1]:
        left = right = np.arange(len(rows[0]))
    else:
        places = [{key: place for place, key in enumerate(side)} for side in rows]
        twice = len(rows[1]) - len(places[1])
        missing = [key for key in rows[0] if key not in places[1]]
        surplus = [key for key in rows[1] if key not in places[0]]
        bad += len(missing) + len(surplus) + twice
        findings += [f"no row {shown(mart, key)}" for key in missing[:SHOWN]]
        findings += [f"a row too many {shown(mart, key)}" for key in surplus[:SHOWN]]
        findings += [f"{twice} rows are there twice"] * bool(twice)
        common = [key for key in places[0] if key in places[1]]
        left = np.array([places[0][key] for key in common], dtype=np.int64)
        right = np.array([places[1][key] for key in common], dtype=np.int64)
    is_bad = np.zeros(len(left), dtype=bool)
    for name, kind in kinds.items():
        if name in keys or not len(left):
            continue
        wrong = differs(kind, expected[name][left], actual[name][right])
        for place in np.flatnonzero(wrong):
            if actual[name][right[place]] in allowed.get((name, left[place]), ()):
                wrong[place] = False
        is_bad |= wrong
        for place in np.flatnonzero(wrong)[:SHOWN]:
            values = f"{plain(actual[name][right[place]])} is not {plain(expected[name][left[place]])}"
            findings.append(f"{name} of {shown(mart, rows[0][left[place]])}: {values}")
        if wrong.sum() > SHOWN:
            findings.append(f"{name}: {wrong.sum():,} rows in all")
    bad += int(is_bad.sum())
    out(f"{mart}: {len(rows[0]):,} rows compared, {bad:,} differences")
    for finding in findings[:MOST_SHOWN]:
        out(f"  {finding}")
    if len(findings) > MOST_SHOWN:
        out("  and more")
    return bad


def plain(value):
    """A value as people read it."""
    return "null" if value != value else repr(value.item() if isinstance(value, np.generic) else value)


def shown(mart, key):
    """A key as people read it."""
    words = []
    for (name, kind), value in zip(MARTS[mart].items(), key):
        if kind == "date":
            value = EPOCH + datetime.timedelta(days=int(value))
        elif kind == "time":
            value = datetime.datetime.fromtimestamp(value, datetime.timezone.utc).strftime("%F %T")
        words.append(f"{name} {value}")
    return ", ".join(words)


def compare_ids(ids, known, mart, out=print):
    """Ids of sessions: each its own, the same for the same user and start as in an earlier comparison."""
    named = dict(zip(zip(mart["user_id"].tolist(), mart["started_at"].tolist()), map(str, ids)))
    bad = len(named) - len(set(named.values()))
    bad += sum(1 for key, id in named.items() if known.setdefault(key, id) != id)
    if bad:
        out(f"  session_id: {bad:,} are not unique, or not what they were")
    return bad


def run(client, only=None, as_of=None, session_ids=None, out=print):
    """Compares; gives the number of differences. `session_ids` remembers ids from one comparison to the next."""
    began = time.monotonic()
    raw = read_events(client, say)
    events = raw.without_copies()
    say(f"{len(raw):,} rows of events, {len(events):,} without copies: {time.monotonic() - began:.0f} s")
    total = 0
    for mart in only or MARTS:
        today = as_of
        for _ in range(2):
            day = client.command("select toUInt16(toDate(now(), 'UTC'))")
            found, more = read_mart(client, mart, ["m.session_id"] if mart == "sessions" else [])
            # Read again when midnight passed meanwhile.
            if day == client.command("select toUInt16(toDate(now(), 'UTC'))"):
                break
        today = int(day) if as_of is None else as_of
        began = time.monotonic()
        expected = getattr(definitions, mart)(events, today)
        say(f"{mart} counted over the events: {time.monotonic() - began:.0f} s")
        total += compare(mart, expected, found, out)
        if more:
            total += compare_ids(more[0], {} if session_ids is None else session_ids, found, out)
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=MARTS, metavar="MART", help="these marts, instead of all")
    parser.add_argument("--as-of", type=datetime.date.fromisoformat, metavar="DATE", help="today, instead of the warehouse's")
    args = parser.parse_args()
    as_of = (args.as_of - EPOCH).days if args.as_of else None
    sys.exit(1 if run(connect(), args.only, as_of) else 0)


if __name__ == "__main__":
    main()
