"""Kills in the middle of a campaign: no check is lost, nobody is called twice, and every attempt comes to an end."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from carecall.simulation.chaos_worker import deaths

KILL_AT_INSERT = """
import sys
from pathlib import Path
from sqlalchemy import create_engine, text
from carecall.simulation.chaos_worker import Killer

when, database, file = sys.argv[1:]
Killer(when, 1, Path(file)).listen()
engine = create_engine(f"sqlite:///{database}")
with engine.begin() as connection:
    connection.execute(text("CREATE TABLE IF NOT EXISTS call (number INTEGER)"))
with engine.begin() as connection:
    connection.execute(text("SELECT 1"))
for number in range(1, 4):
    with engine.begin() as connection:
        connection.execute(text("UPDATE call SET number = number"))
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO call VALUES (:number)"), {"number": number})
"""


@pytest.mark.parametrize(("when", "kept"), [("before", []), ("after", [1])])
def test_a_process_dies_just_before_or_just_after_a_commit_whose_turn_it_is(
    when: str, kept: list[int], tmp_path: Path
) -> None:
    database, file = tmp_path / "calls.sqlite3", tmp_path / "deaths.jsonl"
    file.write_text(f'{{"when": "{when}", "written": ["update call"]}}\n')
    command = [sys.executable, "-c", KILL_AT_INSERT, when, str(database), str(file)]
    assert subprocess.run(command, check=False).returncode == -9
    with closing(sqlite3.connect(database)) as connection:
        assert [number for (number,) in connection.execute("SELECT number FROM call")] == kept
    assert deaths(file) == {f"{when} update call": 1, f"{when} insert call": 1}
    assert subprocess.run(command, check=False).returncode == 0, (
        "every kind has had its turn: it goes on to its own end"
    )


@pytest.mark.models
@pytest.mark.timeout(400)
def test_nothing_is_lost_or_done_twice_however_often_the_program_is_killed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "carecall.simulation.chaos_run", "--kills", "4", "--keep", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines() or [done.stderr]
    assert re.fullmatch(r"kills 4 lost 0 doubled 0 stuck 0 worst_recovery_s [0-9.]+", lines[-1]), lines
    assert done.returncode == 0, lines
    calls = re.search(r"calls ([0-9]+)", lines[-2])
    assert calls is not None
    assert int(calls[1]) >= 8
