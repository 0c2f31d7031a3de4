"""Running `weir`: the engine, the migrations, dbt."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time

from compare import say

CHECKOUT = pathlib.Path(__file__).resolve().parents[3]
WEIR = os.environ.get("WEIR_BIN", str(CHECKOUT / "target/debug/weir"))


@contextlib.contextmanager
def warehouse(folder=None):
    """The engine at CLICKHOUSE_URL; when there is none, one of its own with its data in `folder` (or in a temporary one)."""
    if os.environ.get("CLICKHOUSE_URL"):
        yield
        return
    with contextlib.ExitStack() as stack:
        data = folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-marts-"))
        log = stack.enter_context(open(pathlib.Path(data) / "engine.log", "ab"))
        command = [WEIR, "clickhouse", "--port", "0", "--data-dir", str(pathlib.Path(data) / "clickhouse")]
        process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            for line in process.stdout:
                if "ready on " in line:
                    os.environ["CLICKHOUSE_URL"] = line.split("ready on ")[1].split()[0]
                    break
            else:
                raise SystemExit(f"weir clickhouse ended: {pathlib.Path(data) / 'engine.log'}")
            say(f"engine on {os.environ['CLICKHOUSE_URL']}")
            yield
        finally:
            os.environ.pop("CLICKHOUSE_URL", None)
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def weir(*args, database=None, timeout=3_600):
    """Runs `weir` to its end, which must be a good one."""
    done = subprocess.run(
        [WEIR, *args], cwd=CHECKOUT, env=environment(database), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=timeout,
    )
    if done.returncode:
        raise SystemExit(f"weir {' '.join(args)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def environment(database=None):
    variables = {**os.environ, "WEIR_CLUSTER": ""}
    if database:
        variables["CLICKHOUSE_DATABASE"] = database
    return variables


class Dbt:
    """dbt with the same vars, and so with the same parsed project, each time. One folder serves one run at a time."""

    def __init__(self, folder, lag, more_vars=None):
        self.folder = pathlib.Path(folder)
        self.vars = {"arrival_lag_seconds": lag, **(more_vars or {})} if lag is not None else more_vars or {}

    def begin(self, *args):
        paths = ["--log-path", str(self.folder / "logs"), "--target-path", str(self.folder / "target")]
        command = [WEIR, "dbt", *args, "--quiet", *paths]
        if self.vars:
            command += ["--vars", json.dumps(self.vars)]
        self.folder.mkdir(parents=True, exist_ok=True)
        self.began = time.monotonic()
        self.output = open(self.folder / "output", "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            command, cwd=CHECKOUT, env=environment(), stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT,
        )
        return self

    def end(self, timeout=7_200):
        """Waits; gives the seconds that it took."""
        code = self.process.wait(timeout)
        self.output.close()
        if code:
            raise SystemExit(f"dbt ended with {code}\n{(self.folder / 'output').read_text(encoding='utf-8')}")
        return time.monotonic() - self.began

    def cut(self, seconds):
        """Interrupts it after so many seconds, as a timeout would, and waits."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(600)
        self.output.close()

    def run(self, *args):
        return self.begin(*args).end()

    def seconds(self):
        """What each model of the last run took, in seconds."""
        results = json.loads((self.folder / "target/run_results.json").read_text(encoding="utf-8"))["results"]
        return {result["unique_id"].split(".")[-1]: result["execution_time"] for result in results}
