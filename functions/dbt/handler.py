"""The scheduled dbt run, as a Lambda function: `dbt build` on the project beside this file, as `cargo weir dbt` runs it.

One JSON line says how each node did, with the metrics in it (CloudWatch's embedded metric format). A run that failed raises,
so that the invocation counts as an error. No line holds what dbt or ClickHouse said: both may quote data. `cargo weir dbt`
shows it, at a terminal.

A run that Lambda or its own time limit cuts short needs no repair: the next one looks again at what it was to look at.
"""

import json
import logging
import os
import re
import signal
import tempfile
import threading
import time
from collections import Counter
from multiprocessing import context as multiprocessing_context
from pathlib import Path
from urllib.parse import urlsplit

# Lambda has no /dev/shm, and so no POSIX semaphores. Every lock of `multiprocessing` is one: dbt makes some of a "spawn" context
# and one in its ThreadPool, and without this dies of
#     OSError: [Errno 38] Function not implemented
# while it reads the project. dbt starts threads and no processes, for which a lock of `threading` is the same thing. It must
# be here before dbt is imported, and in the base of all contexts: dbt's own and the ThreadPool's are two.
multiprocessing_context.BaseContext.Lock = lambda self: threading.Lock()
multiprocessing_context.BaseContext.RLock = lambda self: threading.RLock()

# At the top, so that a cold start pays for it once, in the phase that Lambda gives a full processor.
import dbt.adapters.clickhouse  # noqa: E402, F401
from dbt.cli.main import dbtRunner  # noqa: E402

# Libraries' own lines hold addresses and statements.
logging.disable(logging.CRITICAL)

# The dbt project in the package. Not `dbt`: that is dbt's own folder there.
PROJECT = Path(__file__).resolve().parent / "project"

# The package cannot be written to. Here the next invocation of a warm start finds the parsed project.
SCRATCH = Path(tempfile.gettempdir()) / "weir-dbt"

# With less time than this a run is not begun.
LEAST_SECONDS = 60

# So long before Lambda's deadline a run is cut, and told about, because a function that is killed tells nothing.
MARGIN_SECONDS = 20

# What cutting may take before it is tried again: dbt waits for the queries of its threads.
AGAIN_SECONDS = 3

# What nodes can be that did not do what they should. A skipped one is the consequence of another's failure.
FAILED = ("error", "fail", "runtime error", "partial success")


class DbtFailed(Exception):
    """The run did not end well. Its text is for whoever reads the invocation's error."""


def clickhouse_variables(environ):
    """CLICKHOUSE_URL, which every function reads, in the three variables of dbt/profiles.yml. As `weir dbt` does it."""
    text = environ.get("CLICKHOUSE_URL", "")
    if not text:
        raise ValueError("CLICKHOUSE_URL is not set: the HTTP address of ClickHouse")
    # The value is in no error: people put passwords in addresses.
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:
        raise ValueError("CLICKHOUSE_URL is not an http:// or https:// address") from None
    if url.scheme not in ("http", "https") or not host:
        raise ValueError("CLICKHOUSE_URL is not an http:// or https:// address")
    if url.path not in ("", "/") or url.query or url.fragment or "@" in url.netloc:
        raise ValueError("CLICKHOUSE_URL must be a host and a port: dbt-clickhouse takes no path, no query and no user")
    secure = url.scheme == "https"
    return {
        "CLICKHOUSE_HOST": host,
        "CLICKHOUSE_PORT": str(port or (443 if secure else 80)),
        "CLICKHOUSE_SECURE": str(secure).lower(),
    }


def command():
    """What dbt is told: `build`, with nothing written into the package and nothing to the log."""
    return [
        "build",
        *("--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)),
        *("--target-path", str(SCRATCH / "target"), "--log-path", str(SCRATCH / "logs")),
        # dbt's own lines quote what ClickHouse says, which may quote data.
        *("--log-level", "none", "--log-level-file", "none", "--no-print"),
        *("--no-version-check", "--no-send-anonymous-usage-stats"),
    ]


def cut_down(kind, words):
    """An error without its words: its kind, and the number of ClickHouse's exception in it, if there is one."""
    number = re.search(r"\bcode: (\d+)", words or "", re.IGNORECASE)
    return f"{kind}: exception {number[1]}" if number else kind


def node_line(result):
    """What is said about one node of dbt's results."""
    node, status = result.node, str(result.status)
    line = {
        "name": node.name,
        "resource_type": str(node.resource_type),
        "status": status,
        "execution_time": round(result.execution_time, 3),
    }
    # How many rows a test has found; of a test's message it is all that matters.
    if result.failures is not None:
        line["failures"] = result.failures
    query = (result.adapter_response or {}).get("query_id")
    if query:
        line["query_id"] = query
    if status in ("error", "runtime error"):
        # The kind is dbt's own: "Database Error in model …".
        kind = re.match(r"(Database|Compilation|Runtime) Error", (result.message or "").strip())
        line["error"] = cut_down(kind[0] if kind else "Error", result.message)
    return line


def report(status, nodes, seconds, now, **more):
    """The run's line: its results, and the metrics of the namespace `Weir`."""
    failed = sum(node["status"] in FAILED for node in nodes)
    # A run that failed without a node of which one could say so, as one that did not get so far.
    failures = failed if failed or status == "success" else 1
    metrics = {"DbtFailures": failures, "DbtNodes": len(nodes), "DurationMilliseconds": round(seconds * 1000)}
    units = {"DbtFailures": "Count", "DbtNodes": "Count", "DurationMilliseconds": "Milliseconds"}
    return {
        "level": "INFO" if status == "success" else "ERROR",
        "message": "dbt run",
        # As the functions in Rust call themselves: two stacks do not share their metrics.
        "function": os.environ.get("AWS_LAMBDA_FUNCTION_NAME") or "dbt",
        "status": status,
        **more,
        "totals": dict(Counter(node["status"] for node in nodes)),
        "nodes": nodes,
        **metrics,
        "_aws": {
            "Timestamp": round(now * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": "Weir",
                    "Dimensions": [["function"]],
                    "Metrics": [{"Name": name, "Unit": units[name]} for name in metrics],
                }
            ],
        },
    }


class Run:
    """One run of dbt within a time, by the clock's alarm: dbt has no limit of its own."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.under_way = set()
        self.over = False
        self.cut = False

    def note(self, event):
        """Keeps which nodes are under way: after a cut dbt gives no results."""
        if event.info.name == "NodeStart":
            self.under_way.add(event.data.node_info.node_name)
        elif event.info.name == "NodeFinished":
            self.under_way.discard(event.data.node_info.node_name)

    def alarm(self, _signal, _frame):
        """As Ctrl-C, on which dbt ends. Again and again: it then waits for what its threads have asked ClickHouse."""
        if not self.over:
            self.cut = True
            raise KeyboardInterrupt

    def invoke(self):
        """dbt's answer; whether it was cut is in `cut`."""
        before = signal.signal(signal.SIGALRM, self.alarm)
        signal.setitimer(signal.ITIMER_REAL, self.seconds, AGAIN_SECONDS)
        try:
            return dbtRunner(callbacks=[self.note]).invoke(command())
        except KeyboardInterrupt:
            return None
        finally:
            self.over = True
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def run_within(seconds):
    """Runs dbt for at most so long. The run's status, its nodes, and what else is to be said."""
    run = Run(seconds)
    answer = run.invoke()
    if run.cut:
        return "out_of_time", [], {"under_way": sorted(run.under_way)}
    nodes = [node_line(result) for result in getattr(answer.result, "results", None) or []]
    if answer.exception is not None:
        error = answer.exception
        kind = type(error).__name__ + (f" {error.errno}" if isinstance(error, OSError) else "")
        return "error", nodes, {"error": cut_down(kind, str(error))}
    return ("success" if answer.success else "failed"), nodes, {}


def short(status, nodes, more):
    """Why the invocation failed, in a sentence without data."""
    if status == "not_begun":
        return f"dbt was not begun: less than {LEAST_SECONDS} s were left. The next run does it"
    if status == "out_of_time":
        what = ", ".join(more["under_way"]) or "no node"
        return f"dbt had no time left: {what} was under way. The next run does it again"
    failed = [node["name"] for node in nodes if node["status"] in FAILED]
    if failed:
        shown = ", ".join(failed[:5]) + (", …" if len(failed) > 5 else "")
        return f"{len(failed)} of {len(nodes)} nodes failed: {shown}"
    return f"dbt failed before its first node: {more.get('error', 'no reason given')}"


def handle(_event, context):
    """Runs dbt once. What the event says does not matter."""
    began = time.monotonic()
    left = context.get_remaining_time_in_millis() / 1000
    if left < LEAST_SECONDS:
        status, nodes, more = "not_begun", [], {}
    else:
        status, nodes, more = run_within(left - MARGIN_SECONDS)
    line = report(status, nodes, time.monotonic() - began, time.time(), **more)
    print(json.dumps(line, separators=(",", ":"), ensure_ascii=False), flush=True)
    if status != "success":
        raise DbtFailed(short(status, nodes, more))
    return {"status": status, "totals": line["totals"]}


os.environ.update(clickhouse_variables(os.environ))
