"""What the tests of the joined parts stand on: an empty database, and a store on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import empty_database

from carecall.store import Store


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with empty_database(tmp_path) as url:
        yield url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url, upgrade=True) as opened:
        yield opened
