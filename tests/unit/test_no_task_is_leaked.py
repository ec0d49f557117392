"""The fixture that fails a test which leaves a task behind."""

from pathlib import Path

import pytest


def test_a_leaked_task_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")
    tests = Path(__file__).parents[1]
    pytester.makeconftest((tests / "conftest.py").read_text())
    pytester.makepyfile(databases=(tests / "databases.py").read_text())
    pytester.makepyfile(
        """
        import asyncio

        async def test_leaks():
            asyncio.create_task(asyncio.sleep(60), name="forgotten")

        async def test_tidy():
            await asyncio.create_task(asyncio.sleep(0))
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*tasks outlived the test: forgotten*"])
