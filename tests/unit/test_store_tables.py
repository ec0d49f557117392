"""The tables themselves: portable, closed, silent about what they hold, and the same as the migrations make them."""

import re
import sqlite3
import uuid
from datetime import UTC, datetime, timedelta, timezone
from io import StringIO
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Column, create_engine
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from carecall.domain.turn import Speaker
from carecall.store.engine import _scripts
from carecall.store.facade import upgrade_database
from carecall.store.personal import PersonalText
from carecall.store.tables import MemoryRow, Row, TurnRow, UtcDateTime

TABLES = Row.metadata.sorted_tables
COLUMNS = [column for table in TABLES for column in table.columns]


def test_every_table_and_index_compiles_for_postgres() -> None:
    for table in TABLES:
        ddl = str(CreateTable(table).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
        for index in table.indexes:
            ddl += str(CreateIndex(index).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
        assert "DATETIME" not in ddl


def test_the_migrations_compile_for_postgres() -> None:
    sql = StringIO()
    context = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": sql})
    with Operations.context(context):
        for script in reversed(list(_scripts().walk_revisions())):
            script.module.upgrade()
    assert set(re.findall(r'CREATE TABLE "?(\w+)', sql.getvalue())) == {table.name for table in TABLES}
    assert sql.getvalue().count("CREATE TRIGGER") == 6


def test_the_migrations_make_what_the_tables_say(tmp_path: Path) -> None:
    upgrade_database(f"sqlite:///{tmp_path}/migrated.sqlite3")
    declared = create_engine(f"sqlite:///{tmp_path}/declared.sqlite3")
    Row.metadata.create_all(declared)
    declared.dispose()
    assert _schema(tmp_path / "migrated.sqlite3") == _schema(tmp_path / "declared.sqlite3")


def _schema(file: Path) -> dict[str, list[str]]:
    """The parts of each table and index, without the order in which they are declared.

    What a column that was added later starts out with in the rows of that time is left out.
    """
    connection = sqlite3.connect(file)
    rows = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND type <> 'trigger' AND name <> 'alembic_version'"
    ).fetchall()
    connection.close()
    return {name: sorted(_parts(re.sub(r"\s+", " ", sql))) for name, sql in rows}


def _parts(sql: str) -> list[str]:
    head, _, body = sql.partition("(")
    parts, depth = [head.strip(), ""], 0
    for sign in body.strip().removesuffix(")"):
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    whole = [re.sub(r" DEFAULT ('[^']*'|\w+)", "", part).strip() for part in parts]
    return [own for part in whole for own in re.split(r"(?<=\S) (?=CONSTRAINT \w+ CHECK)", part)]


@pytest.mark.parametrize("column", [column for column in COLUMNS if isinstance(column.type, PersonalText)], ids=str)
def test_a_personal_column_is_bound_to_itself(column: Column[str]) -> None:
    assert isinstance(column.type, PersonalText)
    assert column.type.column == str(column)


@pytest.mark.parametrize(
    "column",
    [
        "recipient.name",
        "recipient.phone",
        "recipient.notes",
        "turn.text",
        "turn.understanding",
        "evidence.quote",
        "finding.words",
        "report.notes",
        "report.summary",
        "memory.text",
    ],
)
def test_what_people_say_and_who_they_are_is_personal(column: str) -> None:
    assert column in {str(each) for each in COLUMNS if isinstance(each.type, PersonalText)}


def test_a_row_shows_its_key_and_nothing_of_the_person() -> None:
    memory = MemoryRow(recipient_id=uuid.uuid4(), text="Lives with her son Jin.", created_at=datetime.now(UTC))
    turn = TurnRow(
        attempt_id=memory.id, turn_index=3, speaker=Speaker.RECIPIENT, text="Mina Park", started_s=0, ended_s=1
    )
    assert repr(memory) == str(memory) == f"MemoryRow(id={memory.id})"
    assert repr(turn) == f"TurnRow(attempt_id={memory.id}, turn_index=3)"


def test_a_moment_is_kept_in_utc_whatever_its_zone() -> None:
    seoul = datetime(2026, 5, 4, 9, 30, tzinfo=timezone(timedelta(hours=9)))
    kept = UtcDateTime().process_bind_param(seoul, sqlite.dialect())
    assert kept == datetime(2026, 5, 4, 0, 30)
    back = UtcDateTime().process_result_value(kept, sqlite.dialect())
    assert back == seoul
    assert back is not None
    assert back.tzinfo is UTC


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        UtcDateTime().process_bind_param(datetime(2026, 5, 4), sqlite.dialect())
