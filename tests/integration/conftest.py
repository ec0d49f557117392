"""What the tests of the dashboard stand on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from dashboard_office import Office, open_office


@pytest_asyncio.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    """Two organisations behind the dashboard, and a signed-in browser for each role of the first."""
    async with open_office(tmp_path) as opened:
        yield opened
