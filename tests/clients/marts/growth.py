"""Measures what an incremental run of dbt reads, by how long the history is: the same arrivals on 10, 100 and 500 days.

Usage: growth.py [--rate N] [--days N ...] [--new N] [--late N] [--rounds N] [--json FILE] [--data-dir FOLDER]

Each history has as many events a day, and gets the same arrivals in rounds: new events up to now, and a few late ones on the seven
days before. Most users come in one month only. What was read comes from system.query_log: the queries of a model's own run, its
look-ups and hooks included. Prints a table, and writes all numbers to FILE.

Without CLICKHOUSE_URL on an engine of its own, else there in databases of its own. WEIR_BIN is the binary, target/debug/weir by
default. 50 million events take some GB of disk.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

from compare import MARTS, say
from engine import Dbt, warehouse, weir
from traffic import COLUMNS
from warehouse import DAY, connect

MONTH = 30
# Users of the shop's month are counted from 1; one in so many comes every month, the others in one only.
ID_SPAN, FAITHFUL = 100_000_000, 20
# dbt begins each query with a comment that names the node.
NODE = r"""extract(query, '"node_id": "([^"]+)"')"""


class Month:
    """A month of the shop, which all histories are made of."""

    def __init__(self, client, args):
        self.client, self.args = client, args
        self.database = "weir_growth_month"

    def make(self):
        self.client.command(f"drop database if exists {self.database}")
        weir("migrate", database=self.database)
        # The migrations' own table drops copies; there are none. Ordered by time, as the months are cut by it.
        size = ("--events", str(self.args.rate * MONTH), "--days", str(MONTH), "--to", "2024-01-30")
        weir("generate", "--backfill", *size, database=self.database)
        self.first = int(self.client.command("select toUnixTimestamp(toDateTime('2024-01-01', 'UTC'))"))
        say(f"a month: {self.client.command(f'select count() from {self.database}.events'):,} events")

    def columns(self, shift, users, inserted_at):
        """The columns of events, so many seconds later, of other users, each event a new one."""
        user_id = f"if(cityHash64(user_id) % {FAITHFUL} = 0, user_id, user_id + {users * ID_SPAN})"
        return (
            f"dt + toIntervalSecond({shift}), name, {user_id}, url, obj, obj_id, product_id, amount, exp, generateUUIDv4(), "
            f"received_at + toIntervalSecond({shift}), {inserted_at}"
        )


class History:
    """So many days of events before today, and what arrives then."""

    def __init__(self, client, month, days, args, folder):
        self.client, self.month, self.days, self.args = client, month, days, args
        self.database = f"weir_growth_{days}"
        self.dbt = Dbt(folder / str(days), None)
        today = int(client.command("select toUnixTimestamp(toStartOfDay(now('UTC')))"))
        # The last of the history's months ends with yesterday.
        self.shift = today - MONTH * DAY - month.first

    def insert(self, select):
        self.client.command(
            f"insert into {self.database}.events ({COLUMNS}, inserted_at) {select}",
            settings={"max_partitions_per_insert_block": 0, "max_execution_time": 0},
        )

    def fill(self):
        """Each row came a second after it happened: an index on inserted_at is as it would be."""
        self.client.command(f"drop database if exists {self.database}")
        weir("migrate", database=self.database)
        left, back = self.days, 0
        while left > 0:
            shift = self.shift - back * MONTH * DAY
            since = self.month.first + max(MONTH - left, 0) * DAY
            columns = self.month.columns(shift, back + 1, f"dt + toIntervalSecond({shift + 1})")
            self.insert(f"select {columns} from {self.month.database}.events where dt >= toDateTime({since}, 'UTC')")
            left, back = left - MONTH, back + 1
            say(f"{self.days} days: filled {self.days - max(left, 0)}")
        self.settle()
        self.events = int(self.client.command(f"select count() from {self.database}.events"))

    def settle(self):
        """Waits for merges, which would take the time of what is measured."""
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline and int(self.client.command(
            f"select count() from system.merges where database = '{self.database}'"
        )):
            time.sleep(1)

    def arrive(self, number):
        """The new ones: a stretch of the month, moved to end now. The late ones: of the last seven days."""
        args, month = self.args, self.month
        span = f"from (select * from {month.database}.events order by dt, event_id limit {args.new} offset {(number + 1) * args.new})"
        ends = int(self.client.command(f"select toUnixTimestamp(max(dt)) {span}"))
        now = int(self.client.command("select toUnixTimestamp(now())"))
        self.insert(f"select {month.columns(now - 1 - ends, 1, 'now()')} {span}")
        week = month.first + (MONTH - 7) * DAY
        self.insert(
            f"select {month.columns(self.shift, 1, 'now()')} from {month.database}.events where dt >= toDateTime({week}, 'UTC') "
            f"order by cityHash64(event_id, {number}) limit {args.late}"
        )

    def measured(self, *args):
        """Runs dbt; gives seconds and what was read, in all and of each node."""
        os.environ["CLICKHOUSE_DATABASE"] = self.database
        self.client.command("system flush logs")
        began = self.client.command("select toString(now64(6))")
        seconds = self.dbt.run(*args)
        self.client.command("system flush logs")
        ended = self.client.command("select toString(now64(6))")
        rows = self.client.query(f"""
            select {NODE} as node, sum(read_rows), sum(read_bytes), sum(written_rows), sum(query_duration_ms) / 1000
            from system.query_log
            where type = 'QueryFinish' and query ilike '/* {{"app": "dbt"%'
                and query_start_time_microseconds between '{began}' and '{ended}'
            group by node
        """).result_rows
        names = ("read_rows", "read_bytes", "written_rows", "query_seconds")
        nodes = {node.split(".")[2] if node.count(".") >= 2 else "dbt itself": dict(zip(names, numbers)) for node, *numbers in rows}
        for node, took in self.dbt.seconds().items():
            if node in nodes:
                nodes[node]["seconds"] = took
        return {"seconds": seconds, "nodes": nodes, **{name: sum(node[name] for node in nodes.values()) for name in names}}

    def reads(self):
        """What a reader of a whole mart costs."""
        for mart in MARTS:
            comment = f"{self.database}: {mart}"
            self.client.command(f"select * from {self.database}.{mart} format Null", settings={"log_comment": comment})
        self.client.command("system flush logs")
        rows = self.client.query(f"""
            select log_comment, argMax((query_duration_ms / 1000, read_rows, read_bytes), event_time_microseconds)
            from system.query_log where type = 'QueryFinish' and startsWith(log_comment, '{self.database}: ') group by log_comment
        """).result_rows
        return {comment.split(": ")[1]: dict(zip(("seconds", "read_rows", "read_bytes"), numbers)) for comment, numbers in rows}

    def measure(self):
        found = {"days": self.days, "events": self.events}
        found["first"] = self.measured("run")
        say(f"{self.days} days: the first run {found['first']['seconds']:.0f} s")
        self.settle()
        found["idle"] = self.measured("run")
        found["rounds"] = []
        for number in range(self.args.rounds):
            self.arrive(number)
            self.settle()
            found["rounds"].append(self.measured("run"))
            last = found["rounds"][-1]
            say(f"{self.days} days: round {number + 1}: {last['seconds']:.1f} s, {last['read_rows']:,} rows read")
        found["tests"] = self.measured("test", "--exclude-resource-type", "unit_test")
        found["marts"] = self.reads()
        return found

    def drop(self):
        self.client.command(f"drop database if exists {self.database}")


def table(measured):
    """The medians of the rounds, a line a model and a column a history."""
    def median(history, node, name):
        values = [round_["nodes"].get(node, {}).get(name, 0) for round_ in history["rounds"]]
        return statistics.median(values)

    yield "one run after the same arrivals: rows read, MB read, seconds".ljust(30)
    yield "".ljust(30) + "".join(f"{history['days']} days, {history['events']:,} events".rjust(38) for history in measured)
    nodes = sorted({node for history in measured for round_ in history["rounds"] for node in round_["nodes"]})
    for node in nodes:
        cells = (
            "{:>16,.0f}{:>12,.1f}{:>10.2f}".format(
                median(history, node, "read_rows"), median(history, node, "read_bytes") / 1e6, median(history, node, "seconds"),
            )
            for history in measured
        )
        yield node.ljust(30) + "".join(cells)
    for label, runs in (
        ("all of the run", lambda history: history["rounds"]), ("a run without arrivals", lambda history: [history["idle"]]),
        ("the first run", lambda history: [history["first"]]), ("data tests", lambda history: [history["tests"]]),
    ):
        cells = (
            "{:>16,.0f}{:>12,.1f}{:>10.2f}".format(*(
                statistics.median(run[name] for run in runs(history)) / scale
                for name, scale in (("read_rows", 1), ("read_bytes", 1e6), ("seconds", 1))
            ))
            for history in measured
        )
        yield label.ljust(30) + "".join(cells)
    for mart in MARTS:
        cells = (
            "{read_rows:>16,}{mega:>12,.1f}{seconds:>10.2f}".format(mega=read["read_bytes"] / 1e6, **read)
            for read in (history["marts"][mart] for history in measured)
        )
        yield f"reading all of {mart}".ljust(30) + "".join(cells)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, default=100_000, help="events a day")
    parser.add_argument("--days", type=int, nargs="+", default=[10, 100, 500], help="how long the histories are")
    parser.add_argument("--new", type=int, default=20_000, help="new events that arrive in a round")
    parser.add_argument("--late", type=int, default=200, help="late events that arrive in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=pathlib.Path, help="where all numbers go")
    parser.add_argument("--data-dir", help="where an engine of its own has its data [default: a temporary folder]")
    args = parser.parse_args()
    measured = []
    with tempfile.TemporaryDirectory(prefix="weir-growth-") as folder, warehouse(args.data_dir):
        client = connect("default")
        month = Month(client, args)
        month.make()
        for days in args.days:
            history = History(client, month, days, args, pathlib.Path(folder))
            history.fill()
            measured.append(history.measure())
            history.drop()
            if args.json:
                written = {"arguments": vars(args), "measured": measured}
                args.json.write_text(json.dumps(written, indent=1, default=str) + "\n", encoding="utf-8")
        client.command(f"drop database if exists {month.database}")
    print("\n".join(table(measured)))
    sys.exit(0)


if __name__ == "__main__":
    main()
