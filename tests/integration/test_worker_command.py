"""``carecall work`` and ``carecall call`` as an operator runs them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest

from carecall.domain.campaign import DEFAULT_LADDER, Campaign, Schedule, Window
from carecall.domain.language import Language
from carecall.settings import Settings
from carecall.store import Store
from carecall.store.tables import ConsentSource

NUMBER = "+821055550001"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return os.environ | {
        "CARECALL_DATA_DIR": str(tmp_path),
        "CARECALL_WORKER_NAME": "one",
        "CARECALL_TWILIO_ACCOUNT_SID": "AC" + 32 * "0",
        "CARECALL_TWILIO_AUTH_TOKEN": "token",
        "CARECALL_TWILIO_NUMBER": "+14155550000",
        "CARECALL_PUBLIC_URL": "https://carecall.example",
        "CARECALL_TWILIO_API_URL": "http://127.0.0.1:9",  # nobody listens there
    }


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(Settings(data_dir=tmp_path).database, upgrade=True) as store:
        yield store


@pytest.fixture
def worker(environment: dict[str, str], store: Store) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(_command("work"), env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "worker one makes calls" in process.stderr.readline()
        try:
            yield process
        finally:
            process.kill()


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "carecall", *words]


def _run(environment: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(_command(*words), env=environment, capture_output=True, text=True, timeout=60, check=False)


def _enroll(store: Store, window: Window) -> None:
    schedule = Schedule((window.opens,), window=window)
    campaign = Campaign("Daily", "wellbeing", date(2100, 1, 1), None, schedule, DEFAULT_LADDER)
    recipient_id = store.recipients.add("Anna", NUMBER, Language.ENGLISH)
    campaign_id = store.outreach.save_campaign(campaign)
    store.recipients.enroll(
        recipient_id, campaign_id, consent_at=datetime.now(UTC), consent_source=ConsentSource.WRITTEN
    )


def test_a_signal_ends_the_worker_in_order(worker: "subprocess.Popen[str]") -> None:
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(15) == 0


def test_the_worker_says_what_is_not_set(environment: dict[str, str]) -> None:
    del environment["CARECALL_TWILIO_NUMBER"]
    result = _run(environment, "work")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "CARECALL_TWILIO_NUMBER" in result.stderr


def test_a_call_needs_a_worker(environment: dict[str, str], store: Store) -> None:
    result = _run(environment, "call", "Anna")
    assert result.returncode == 1
    assert "carecall up" in result.stderr


def test_a_call_is_made_by_the_worker_and_its_outcome_is_told(
    environment: dict[str, str], store: Store, worker: "subprocess.Popen[str]"
) -> None:
    _enroll(store, Window(time(0), time(23, 59, 59)))
    result = _run(environment, "call", "Anna")
    assert result.returncode == 1
    assert "the call failed\nnot placed\n" in result.stdout
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(15) == 0


def test_nobody_is_called_outside_their_hours(
    environment: dict[str, str], store: Store, worker: "subprocess.Popen[str]"
) -> None:
    closed = (datetime.now(UTC).hour + 12) % 23
    _enroll(store, Window(time(closed), time(closed + 1)))
    result = _run(environment, "call", "Anna")
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("carecall: ")
    assert store.outreach.planned() == []
