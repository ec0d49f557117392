"""Databases for tests: SQLite, or one of its own on the Postgres server that CARECALL_TEST_POSTGRES names."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

POSTGRES = os.environ.get("CARECALL_TEST_POSTGRES", "")


@contextmanager
def empty_database(folder: Path) -> Iterator[str]:
    """The URL of an empty database, which is gone afterwards."""
    if not POSTGRES:
        yield f"sqlite:///{folder}/data/carecall.sqlite3"
        return
    name = f"test_{secrets.token_hex(6)}"
    server = create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()
