"""A seeded database looks like one that was in use."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from databases import POSTGRES
from sqlmodel import Session, col, func, select

from carecall.domain.language import Language
from carecall.domain.viewer import Role
from carecall.errors import CareCallError
from carecall.simulation.dashboard_seed import Size, address, last_afternoon, seed_dashboard
from carecall.store import Store
from carecall.store.engine import Database
from carecall.store.personal import Cipher
from carecall.store.tables import AlertRow, AttemptRow, DayRow, RecipientRow, ReportRow, TaskRow, UserRow

AT = datetime(2026, 5, 4, 5, tzinfo=UTC)  # a Monday, 14:00 in Seoul
SMALL = Size(recipients=60, calls=1_200, detailed_days=7, alerts=1, tasks=1)


def test_everything_that_a_year_of_use_leaves_is_there(url: str) -> None:
    made = seed_dashboard(url, SMALL, at=AT, secret="a key")
    assert made.recipients == 60
    assert abs(made.calls - 1_200) < 120
    with Store.open(url, secret="a key"):  # the key is right, and the revision the newest
        pass
    database = Database(url, Cipher("a key"), lambda: AT)
    with database.reading() as session:
        assert _count(session, AttemptRow) == made.calls
        assert session.exec(select(func.count()).where(col(AlertRow.settled_at).is_(None))).one() == made.alerts
        assert session.exec(select(func.count()).where(col(TaskRow.closed_at).is_(None))).one() == made.tasks
        days = session.exec(select(func.max(DayRow.day))).one()
        assert days == AT.date()
        assert _count(session, ReportRow) > made.calls * 0.8
        assert {user.email for user in session.exec(select(UserRow))} >= {address(Role.ADMIN, Language.KOREAN)}
    database.close()


def test_the_same_seed_makes_the_same_people(tmp_path: Path) -> None:
    names = []
    for file in ("one", "two"):
        url = f"sqlite:///{tmp_path / file}.sqlite3"
        seed_dashboard(url, SMALL, at=AT)
        database = Database(url, Cipher(""), lambda: AT)
        with database.reading() as session:
            names.append([(row.id, row.name) for row in session.exec(select(RecipientRow))])
        database.close()
    assert names[0] == names[1]


@pytest.mark.skipif(bool(POSTGRES), reason="asks SQLite")
def test_keys_and_triggers_are_as_the_migrations_made_them(tmp_path: Path) -> None:
    file, empty = tmp_path / "seeded.sqlite3", tmp_path / "empty.sqlite3"
    seed_dashboard(f"sqlite:///{file}", SMALL, at=AT)
    Store.open(f"sqlite:///{empty}", upgrade=True).close()
    assert _query(file, "PRAGMA foreign_key_check") == []
    shape = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"
    assert _query(file, shape) == _query(empty, shape)


def test_a_database_in_use_is_left_alone(url: str) -> None:
    seed_dashboard(url, SMALL, at=AT)
    with pytest.raises(CareCallError, match="in use"):
        seed_dashboard(url, SMALL, at=AT)


def test_the_last_afternoon_is_that_of_a_working_day() -> None:
    sunday = datetime(2026, 5, 3, 12, tzinfo=UTC)
    assert last_afternoon(sunday) == datetime(2026, 5, 1, 5, tzinfo=UTC)


def _count(session: Session, table: type) -> int:
    return session.exec(select(func.count()).select_from(table)).one()


def _query(file: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(file)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()
