"""What every test stands on: folders of its own, no settings of the machine, no task left behind."""

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from databases import empty_database
from hypothesis import HealthCheck
from hypothesis import settings as examples

from carecall.settings import settings
from carecall.store import Store

# Examples cost more on a busy machine than hypothesis allows them.
examples.register_profile(
    "unhurried",
    examples(),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
examples.load_profile("unhurried")


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings of the environment do not reach the tests; data goes to the test's folder, models stay in the cache."""
    for name in [name for name in os.environ if name.startswith("CARECALL_") and name != "CARECALL_MODELS_DIR"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CARECALL_DATA_DIR", str(tmp_path / "data"))
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture(autouse=True)
def _no_task_is_leaked(request: pytest.FixtureRequest) -> None:
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_tasks_end_with_the_test")


@pytest_asyncio.fixture
async def _tasks_end_with_the_test() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    for _ in range(3):
        await asyncio.sleep(0)
    leaked = [task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()]
    if leaked:
        for task in leaked:
            task.cancel()
        await asyncio.gather(*leaked, return_exceptions=True)
        pytest.fail(f"tasks outlived the test: {', '.join(task.get_name() for task in leaked)}")


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    with empty_database(tmp_path) as url:
        yield url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A store on it."""
    with Store.open(url, upgrade=True) as opened:
        yield opened
