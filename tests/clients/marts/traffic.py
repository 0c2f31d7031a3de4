"""Makes what the marts must bear, and compares them with the brute force while and after it happens.

Usage: traffic.py [--events N] [--days N] [--portions N] [--batches N] [--walkers N] [--compare-every N] [--cut-every N] [--build]
                  [--extremes] [--lag SECONDS] [--seed N] [--data-dir FOLDER]

The demo shop's history, with events that come late and twice, and events made to be hard, arrive in portions by the time at
which they were received; some come many portions later still. dbt runs after each portion, and after each of a few batches of
next to nothing. Then: a comparison, a full refresh and a comparison, two runs at once while the rest arrives, one more run and
a comparison.

Writes to the ClickHouse at CLICKHOUSE_URL (CLICKHOUSE_USER, CLICKHOUSE_PASSWORD, CLICKHOUSE_DATABASE), which must hold no events
yet; without CLICKHOUSE_URL to an engine of its own. WEIR_BIN is the binary, target/debug/weir by default. Exit code 0 when no mart
differs anywhere, 1 when any does. The defaults are the small proof of the end-to-end tests.
"""

import argparse
import json
import pathlib
import random
import shutil
import sys
import tempfile
import time

import compare
import nasty
from compare import say
from engine import Dbt, warehouse, weir
from warehouse import connect

COLUMNS = "dt, name, user_id, url, obj, obj_id, product_id, amount, exp, event_id, received_at"
# So many of a thousand events come many portions late, and so many come again then.
VERY_LATE, MUCH_AGAIN = 5, 5
# The last of the portions comes while two runs are under way, in so many pieces.
PIECES = 4


class Arrivals:
    """All events with the portion in which each arrives, in a database of their own. The warehouse's is not told of it."""

    def __init__(self, client, args):
        self.client, self.args = client, args
        self.database = f"{client.database}_arrivals"

    def make(self):
        args, client, database = self.args, self.client, self.database
        client.command(f"drop database if exists {database}")
        client.command(f"create database {database}")
        # Of the columns of events, but copies stay: ReplacingMergeTree would drop them in the same insert.
        client.command(f"create table {database}.events as events engine = MergeTree order by received_at")
        weir(
            "generate", "--backfill", "--events", str(args.events), "--days", str(args.days), "--seed", str(args.seed),
            "--late-percent", "2", "--duplicate-percent", "1", database=database,
        )
        begins = self.boundaries()
        usual = f"arrayCount(begin -> toUnixTimestamp(received_at) >= begin, {begins})"
        later = f"least(usual + 1 + intDiv(die, 1000) % {args.portions}, {args.portions})"
        client.command(f"""
            create table {database}.arrivals engine = MergeTree order by portion as
            with {usual} as usual, cityHash64(event_id, received_at) as die
            select if(die % 1000 < {VERY_LATE}, {later}, usual) as portion, {COLUMNS} from {database}.events
            union all
            select {later} as portion, {COLUMNS.replace('received_at', 'received_at + interval 40 day as received_at')}
            from {database}.events where die % 1000 between {VERY_LATE} and {VERY_LATE + MUCH_AGAIN - 1}
        """)
        client.command(f"drop table {database}.events")
        today = int(client.command("select toUInt16(toDate(now(), 'UTC'))"))
        rows = nasty.make(args.seed, today, args.days, args.portions, args.walkers, args.batches, args.extremes)
        lines = "\n".join(json.dumps({"portion": portion, **row}) for portion, row in rows)
        client.raw_insert(f"{database}.arrivals", insert_block=lines.encode(), fmt="JSONEachRow")
        say(f"{client.command(f'select count() from {database}.arrivals'):,} arrivals are ready, {len(rows):,} of them made to be hard")

    def boundaries(self):
        """When each portion but the first begins, by the shop's clock: portions of different length, the last a short one."""
        draw = random.Random(self.args.seed)
        weights = [draw.uniform(0.3, 1.7) for _ in range(self.args.portions)] + [0.2]
        first, last = self.client.query(
            f"select toUnixTimestamp(min(received_at)), toUnixTimestamp(max(received_at)) from {self.database}.events"
        ).result_rows[0]
        return [int(first + (last - first) * sum(weights[:n]) / sum(weights)) for n in range(1, len(weights))]

    def arrive(self, portion, piece=None):
        """Puts a portion, or a piece of it, into `events`. inserted_at is now, as it is for what the loader inserts."""
        condition = f"and cityHash64(event_id) % {PIECES} = {piece}" if piece is not None else ""
        self.client.command(
            f"insert into events ({COLUMNS}) select {COLUMNS} from {self.database}.arrivals where portion = {portion} {condition}",
            settings={"max_partitions_per_insert_block": 0},
        )

    def drop(self):
        self.client.command(f"drop database if exists {self.database}")


class Proof:
    """The proof."""

    def __init__(self, client, args, folder):
        self.client, self.args = client, args
        self.arrivals = Arrivals(client, args)
        self.folder = pathlib.Path(folder)
        # Longer than an insert of a piece takes, and no longer: a lag would hide what a run misses.
        self.dbt = Dbt(self.folder / "one", args.lag)
        self.session_ids = {}
        self.differences = 0
        self.began = time.monotonic()

    def say(self, text):
        say(f"[{time.monotonic() - self.began:5.0f} s] {text}")

    def compare(self, when):
        print(f"{when}:", flush=True)
        found = compare.run(self.client, session_ids=self.session_ids, out=lambda line: print(f"  {line}", flush=True))
        self.differences += found

    def run(self):
        args = self.args
        weir("migrate")
        if self.client.command("select count() from events"):
            raise SystemExit("there are events already: this is for an empty warehouse")
        self.arrivals.make()
        for portion in range(args.portions):
            self.arrivals.arrive(portion)
            events = self.client.command("select count() from events")
            if args.cut_every and portion % args.cut_every == args.cut_every - 1:
                self.dbt.begin("run").cut(random.Random(portion).uniform(2, 10))
                self.say(f"portion {portion + 1}: a run was cut short")
            seconds = self.dbt.run("run")
            self.say(f"portion {portion + 1} of {args.portions}: {events:,} rows of events; dbt ran {seconds:.0f} s")
            if args.compare_every and portion % args.compare_every == args.compare_every - 1 and portion < args.portions - 1:
                self.compare(f"after portion {portion + 1}")
        for batch in range(args.batches):
            self.arrivals.arrive(args.portions + 1 + batch)
            self.say(f"batch {batch + 1} of {args.batches}, of one day: dbt ran {self.dbt.run('run'):.0f} s")
            if args.compare_every and batch < args.batches - 1:
                self.compare(f"after batch {batch + 1}")
        if args.build:
            self.say(f"a build with all data tests: {self.dbt.run('build', '--exclude-resource-type', 'unit_test'):.0f} s")
        self.compare("after all portions")
        self.say(f"full refresh: {self.dbt.run('run', '--full-refresh'):.0f} s")
        self.compare("after a full refresh")
        self.two_at_once()
        self.compare("after two runs at once and one more")
        self.arrivals.drop()
        return self.differences

    def two_at_once(self):
        """What arrives while a run reads is found by the next one, thanks to the lag."""
        # With what dbt has parsed already.
        runs = [Dbt(shutil.copytree(self.dbt.folder, self.folder / name), self.args.lag) for name in ("first", "second")]
        self.arrivals.arrive(self.args.portions, 0)
        for run in runs:
            run.begin("run")
        for piece in range(1, PIECES):
            # Spreads what arrives over the runs' time; nothing is awaited by it.
            time.sleep(3)
            self.arrivals.arrive(self.args.portions, piece)
        self.say("two runs at once: " + " and ".join(f"{run.end():.0f} s" for run in runs))
        self.say(f"one more: {runs[0].run('run'):.0f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=100_000, help="events of the demo shop, at least")
    parser.add_argument("--days", type=int, default=40, help="days up to now")
    parser.add_argument("--portions", type=int, default=2, help="portions before the last, which comes while two runs are under way")
    parser.add_argument("--batches", type=int, default=2, help="runs that find the events of a few users on one day only")
    parser.add_argument("--walkers", type=int, default=300, help="users who do everything at random")
    parser.add_argument("--compare-every", type=int, default=0, metavar="N", help="compare after every Nth portion; 0: at the end only")
    parser.add_argument("--cut-every", type=int, default=0, metavar="N", help="interrupt a run before that of every Nth portion")
    parser.add_argument("--build", action="store_true", help="run dbt's data tests, too, once all portions are there")
    parser.add_argument("--extremes", action="store_true", help="with events of 1970 and 2106, too")
    parser.add_argument("--lag", type=int, default=2, metavar="SECONDS", help="arrival_lag_seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data-dir", help="where an engine of its own has its data [default: a temporary folder]")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="weir-marts-") as folder, warehouse(args.data_dir):
        differences = Proof(connect(), args, folder).run()
    print(f"{differences:,} differences")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
