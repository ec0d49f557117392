"""Logs: one JSON object a line, and no telephone number, address or credential in it, whoever wrote it."""

import json
import logging
import timeit
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger as pipecat_logger

from carecall import logs
from carecall.settings import LogFormat

LIBRARIES = ["twilio.http_client", "dbos", "httpx", "httpcore.http11", "uvicorn.error", "sqlalchemy.engine", "asyncio"]
NUMBERS = [
    "+821012345678",
    "+82 10-1234-5678",
    "+1 (555) 234-5678",
    "%2B15552345678",
    "821012345678",
    "010-1234-5678",
    "01012345678",
    "02-123-4567",
    "15552345678",
    "(555) 234-5678",
    "555-234-5678",
]
HARMLESS = [
    "3f0c1d1e-1111-4222-8333-123456789012",
    "01234567-1234-1234-1234-123456789012",
    "CA0123456789012345678901234567890a",
    "2026-11-22T14:05:22.123+09:00",
    "1763820000",
    "1763820000123",
    "0.321 s",
    "127.0.0.1:8080",
    "1.10.100.1000",
    "200 recipients, 20000 turns",
    "pg 15.4.2 on 10.0.12.7",
]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    names = [None, *LIBRARIES, "twilio", "alembic", "websockets", "openai", "urllib3"]
    before = [(logging.getLogger(name), logging.getLogger(name).level) for name in names]
    root, handlers = logging.getLogger(), logging.getLogger().handlers[:]
    yield
    root.handlers[:] = handlers
    logging.getLogger("dbos").handlers.clear()
    logging.getLogger("dbos").propagate = True
    for each, level in before:
        each.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_one_object_with_time_level_logger_message_and_attempt(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(log_format=LogFormat.JSON)
    attempt_id = uuid.uuid4()
    logging.getLogger("carecall.app").info("answered\nin %.1f s", 0.3, extra={"attempt_id": attempt_id})
    (line,) = lines(capsys)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "carecall.app",
        "message": "answered\nin 0.3 s",
        "attempt": str(attempt_id),
    }


def test_it_is_json_where_no_terminal_reads_along_and_text_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logging.getLogger("carecall").warning("first")
    assert lines(capsys)[0]["message"] == "first"
    logs.configure(log_format=LogFormat.TEXT)
    logging.getLogger("carecall").warning("second", extra={"attempt_id": "a1"})
    assert capsys.readouterr().err.endswith("WARNING carecall: second (attempt a1)\n")


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    "around", ["{}", "to {}.", "To={}&From=x", '{{"to": "{}"}}', "numbers {} and {},", "번호는{}입니다"]
)
def test_a_telephone_number_is_masked(number: str, around: str) -> None:
    text = logs.masked(around.format(number, number))
    assert "[number]" in text
    assert not any(run.isdigit() and len(run) > 2 for run in text.replace("-", " ").split())
    assert "5678" not in text
    assert "4567" not in text


@pytest.mark.parametrize("text", HARMLESS)
def test_ids_moments_and_counts_are_not_mistaken_for_numbers(text: str) -> None:
    assert logs.masked(f"seen {text} there") == f"seen {text} there"


@given(st.uuids())
def test_an_id_stays_readable(some_id: uuid.UUID) -> None:
    assert logs.masked(f"attempt {some_id}: over") == f"attempt {some_id}: over"


@given(st.integers(10**6, 10**15 - 1).filter(lambda n: not str(n).startswith("0")), st.text(max_size=20))
def test_no_number_in_e164_gets_through(number: int, before: str) -> None:
    assert str(number) not in logs.masked(f"{before}+{number}")


@pytest.mark.parametrize("address", ["mina.park@example.co.kr", "a+b@x.org", "postgresql://care:pass@db.example/x"])
def test_addresses_and_credentials_are_masked(address: str) -> None:
    text = logs.masked(f"<{address}>")
    assert "mina" not in text
    assert "pass" not in text
    assert "a+b" not in text


@pytest.mark.parametrize("log_format", [LogFormat.JSON, LogFormat.TEXT])
@pytest.mark.parametrize("name", LIBRARIES)
def test_what_a_library_logs_is_masked_with_its_traceback(
    name: str, log_format: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("DEBUG", log_format)
    library = logging.getLogger(name)
    try:
        try:
            raise KeyError("+821012345678")
        except KeyError as error:
            raise RuntimeError("no mail for mina@example.org") from error
    except RuntimeError:
        library.exception("call to %s failed", "+1 555 234 5678", stack_info=True)
    written = capsys.readouterr().err
    assert "RuntimeError" in written
    assert "KeyError" in written
    for secret in ("821012345678", "mina", "555 234 5678"):
        assert secret not in written


def test_a_message_whose_arguments_do_not_fit_shows_none_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(log_format=LogFormat.JSON)
    logging.getLogger("carecall").error("%s and %s", "Mina Park")
    (line,) = lines(capsys)
    assert line["message"] == "%s and %s (its arguments do not fit)"


@pytest.mark.parametrize("name", ["twilio.http_client", "dbos", "httpx", "uvicorn.error"])
def test_libraries_that_log_requests_and_arguments_are_silent_below_warning(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("DEBUG")
    logging.getLogger(name).info("Payload: To=+821012345678")
    logging.getLogger(name).debug("Payload: To=+821012345678")
    assert capsys.readouterr().err == ""


def test_dbos_adds_no_handler_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(log_format=LogFormat.JSON)
    from dbos._logger import init_logger

    init_logger()
    logging.getLogger("dbos").error("workflow of +821012345678 failed")
    assert [line["message"] for line in lines(capsys)] == ["workflow of [number] failed"]


def test_pipecat_is_heard_from_warning_on_and_without_what_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("DEBUG", LogFormat.JSON)
    pipecat_logger.info("heard [my chest hurts]")
    pipecat_logger.warning("")
    pipecat_logger.error("could not speak [my chest hurts] to +821012345678\nand more")
    empty, error = lines(capsys)
    assert empty["message"] == ""
    assert error["message"] == "could not speak […] to [number]"


def test_masking_costs_microseconds_and_a_long_line_milliseconds() -> None:
    usual = "call progress of attempt 3f0c1d1e-1111-4222-8333-123456789012: answered in 0.321 s"
    assert min(timeit.repeat(lambda: logs.masked(usual), number=100, repeat=5)) / 100 < 100e-6
    for hostile in ("a." * 8000, "a@" * 8000, "0101 " * 3000, "+1 " * 5000, "1" * 16_000, "(5" * 8000, "://" * 5000):
        assert min(timeit.repeat(lambda text=hostile: logs.masked(text), number=1, repeat=3)) < 0.1  # type: ignore[misc]


def test_a_very_long_message_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(log_format=LogFormat.JSON)
    logging.getLogger("carecall").error("x" * 10**6)
    assert len(capsys.readouterr().err) < 20_000
