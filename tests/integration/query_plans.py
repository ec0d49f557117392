"""How SQLite finds what is asked of it, statement by statement, to see that an index leads to all of it."""

import re
from collections.abc import Callable

import pytest
from sqlalchemy import event

from carecall.store import Store


def plans_of(store: Store, act: Callable[[], object]) -> list[str]:
    """The plan and the text of each SELECT that happens in ``act``. Skips the test on another database."""
    engine = store._database._engine
    if engine.dialect.name != "sqlite":
        pytest.skip("plans are looked at in SQLite")
    asked: list[tuple[str, tuple[object, ...]]] = []

    def hear(_connection: object, _cursor: object, statement: str, parameters: tuple[object, ...], *_: object) -> None:
        if statement.lstrip().startswith("SELECT"):
            asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", hear)
    try:
        act()
    finally:
        event.remove(engine, "before_cursor_execute", hear)
    with engine.connect() as connection:
        return [
            " | ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters))
            + f" | {statement}"
            for statement, parameters in asked
        ]


def scanned(plans: list[str]) -> list[str]:
    """Those that read a table or an index from end to end."""
    return [plan for plan in plans if re.search(r"\bSCAN (?!CONSTANT ROW|\()", plan)]
