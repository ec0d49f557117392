"""The database of the tests: SQLite, or the Postgres server that CARECALL_TEST_POSTGRES names."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from carecall.store import Store

POSTGRES = os.environ.get("CARECALL_TEST_POSTGRES", "")


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    if not POSTGRES:
        yield f"sqlite:///{tmp_path}/data/carecall.sqlite3"
        return
    name = f"test_{secrets.token_hex(6)}"
    server = create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url, upgrade=True) as opened:
        yield opened
