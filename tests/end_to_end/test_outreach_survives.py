"""Kills in the middle of a campaign: no check is lost, nobody is called twice, and every attempt comes to an end."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

KILL_AT_SECOND_COMMIT = """
import sys
from pathlib import Path
from sqlalchemy import create_engine, text
from carecall.simulation.chaos_worker import Killer

when, database, file = sys.argv[1:]
Killer(when, 2, Path(file)).listen()
engine = create_engine(f"sqlite:///{database}")
with engine.begin() as connection:
    connection.execute(text("CREATE TABLE call (number INTEGER)"))
for number in range(1, 4):
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO call VALUES (:number)"), {"number": number})
"""


@pytest.mark.parametrize(("when", "kept"), [("before", [1]), ("after", [1, 2])])
def test_a_process_dies_just_before_or_just_after_the_commit(when: str, kept: list[int], tmp_path: Path) -> None:
    database, file = tmp_path / "calls.sqlite3", tmp_path / "deaths.jsonl"
    command = [sys.executable, "-c", KILL_AT_SECOND_COMMIT, when, str(database), str(file)]
    assert subprocess.run(command, check=False).returncode == -9
    with closing(sqlite3.connect(database)) as connection:
        assert [number for (number,) in connection.execute("SELECT number FROM call")] == kept
    assert f'"{when}", "number": 2, "written": ["insert call"]' in file.read_text()


@pytest.mark.models
@pytest.mark.timeout(400)
def test_nothing_is_lost_or_done_twice_however_often_the_program_is_killed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "carecall.simulation.chaos_run", "--kills", "12", "--keep", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines() or [done.stderr]
    assert re.fullmatch(r"kills 12 lost 0 doubled 0 stuck 0 worst_recovery_s [0-9.]+", lines[-1]), lines
    assert done.returncode == 0, lines
    calls = re.search(r"calls ([0-9]+)", lines[-2])
    assert calls is not None
    assert int(calls[1]) >= 8
