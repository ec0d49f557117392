"""Runs a ``carecall`` command and kills its own process, as ``kill -9`` does, just before or just after a commit.

``python -m carecall.simulation.chaos_worker before 5 FILE work`` runs ``carecall work`` until its fifth commit that
writes anything, in whichever database. FILE gets a line of JSON: what the commit was about. The program itself knows
nothing of this: every engine of the process is listened to.
"""

import json
import os
import re
import runpy
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event

_WRITE = re.compile(r'\s*(INSERT INTO|UPDATE|DELETE FROM)\s+([\w."]+)', re.IGNORECASE)
_WRITTEN = "carecall_chaos_written"


class Killer:
    """Counts the process's commits; the one of this number, from 1, is its last."""

    def __init__(self, when: str, number: int, file: Path) -> None:
        self._when = when
        self._number = number
        self._file = file
        self._count = 0
        self._counting = threading.Lock()
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
        with self._counting:
            self._count += 1
            if self._count != self._number:
                return
        line = json.dumps({"when": self._when, "number": self._number, "written": sorted(set(written))})
        with self._file.open("a") as file:
            file.write(f"{line}\n")
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
    when, number, file, *command = sys.argv[1:]
    if when not in ("before", "after") or not command:
        raise SystemExit("usage: python -m carecall.simulation.chaos_worker before|after NUMBER FILE COMMAND...")
    Killer(when, int(number), Path(file)).listen()
    sys.argv = ["carecall", *command]
    runpy.run_module("carecall", run_name="__main__")


if __name__ == "__main__":
    main()
