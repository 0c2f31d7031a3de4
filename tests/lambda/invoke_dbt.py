"""Invokes functions/dbt as Lambda does: in one process, without POSIX semaphores, some milliseconds before the deadline.

Usage: invoke_dbt.py PACKAGE MILLISECONDS TIMES [NAME=SECONDS…]. PACKAGE is the folder with handler.py; NAME a limit of the
handler, set to something that a test can wait for. Standard output is the log. An exception of the handler ends it, with the
exception's type and text on standard error as Lambda shows them, and exit code 1.

With `-` for PACKAGE dbt is called without the handler: that must fail, or nothing here proves anything.
"""

import errno
import sys

import _multiprocessing


class SemLock(_multiprocessing.SemLock):
    """What Lambda has instead of a semaphore."""

    def __new__(cls, *_args):
        raise OSError(errno.ENOSYS, "Function not implemented")


# In a mount namespace without /dev/shm it is true by itself.
if sys.argv[4:5] != ["--real"]:
    _multiprocessing.SemLock = SemLock
else:
    del sys.argv[4]

package, left, times, limits = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]


class Context:
    """Lambda's."""

    def get_remaining_time_in_millis(self):
        return left


if package == "-":
    from dbt.cli.main import dbtRunner

    answer = dbtRunner().invoke(["--log-level", "none", "--log-level-file", "none", "build"])
    print(repr(answer.exception))
    sys.exit(0 if answer.success else 1)

sys.path.insert(0, package)
import handler  # noqa: E402

for limit in limits:
    name, seconds = limit.split("=")
    assert hasattr(handler, name), name
    setattr(handler, name, float(seconds))

for _ in range(times):
    try:
        handler.handle({"source": "a schedule"}, Context())
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
