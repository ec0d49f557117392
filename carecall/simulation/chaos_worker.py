"""Runs a ``carecall`` command and kills its own process, as ``kill -9`` does, just before or just after a commit.

A commit is known by the tables that it writes, in whichever database.
``python -m carecall.simulation.chaos_worker before 2 FILE work`` runs ``carecall work`` until just before the first
commit of a kind that fewer than 2 processes have died before so far, and adds a line of JSON to FILE. So process by
process every kind of commit has its turn. The program knows nothing of this: every engine is listened to from outside.
"""

import json
import os
import re
import runpy
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event

_WRITE = re.compile(r'\s*(INSERT INTO|UPDATE|DELETE FROM)\s+([\w."]+)', re.IGNORECASE)
_WRITTEN = "carecall_chaos_written"


def deaths(file: Path) -> Counter[str]:
    """How many processes died at which commit, such as ``before update slot``."""
    lines = file.read_text().splitlines() if file.exists() else []
    return Counter(f"{death['when']} {', '.join(death['written'])}" for death in map(json.loads, lines))


class Killer:
    """Looks at the process's commits, and lets one be its last."""

    def __init__(self, when: str, times: int, file: Path) -> None:
        self._when = when
        self._times = times
        self._file = file
        self._before = deaths(file)
        self._choosing = threading.Lock()
        self._chosen = False
        self._last = threading.local()  # set in the thread whose commit is the last one

    def listen(self) -> None:
        """To all engines, those that are there and those to come."""
        event.listen(Engine, "after_cursor_execute", self._executed)
        event.listen(Engine, "commit", self._commits)
        event.listen(Engine, "rollback", self._rolls_back)

    def _executed(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if found := _WRITE.match(statement):
            what = f"{found[1].split()[0].lower()} {found[2].replace(chr(34), '')}"
            connection.info.setdefault(_WRITTEN, []).append(what)

    def _rolls_back(self, connection: Connection) -> None:
        connection.info.pop(_WRITTEN, None)

    def _commits(self, connection: Connection) -> None:
        written = connection.info.pop(_WRITTEN, None)
        if not written:
            return
        kinds = sorted(set(written))
        with self._choosing:
            if self._chosen or self._before[f"{self._when} {', '.join(kinds)}"] >= self._times:
                return
            self._chosen = True
        with self._file.open("a") as file:
            file.write(json.dumps({"when": self._when, "written": kinds}) + "\n")
        if self._when == "before":
            _die()
        dialect: Any = connection.dialect
        commit = dialect.do_commit

        def commit_and_die(dbapi_connection: Any) -> None:
            commit(dbapi_connection)
            if getattr(self._last, "armed", False):
                _die()

        self._last.armed = True
        dialect.do_commit = commit_and_die


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    when, times, file, *command = sys.argv[1:]
    if when not in ("before", "after") or not command:
        raise SystemExit("usage: python -m carecall.simulation.chaos_worker before|after TIMES FILE COMMAND...")
    Killer(when, int(times), Path(file)).listen()
    sys.argv = ["carecall", *command]
    runpy.run_module("carecall", run_name="__main__")


if __name__ == "__main__":
    main()
