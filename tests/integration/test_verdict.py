"""What a simulated campaign is judged by, and who is called in it."""

import random
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from carecall.dialog.files import find_dialog
from carecall.domain.attempt import AttemptState
from carecall.domain.report import Outcome, Report
from carecall.errors import CareCallError
from carecall.outreach.ladder import next_step
from carecall.outreach.planning import may_dial, next_check
from carecall.settings import Settings
from carecall.simulation.chaos_run import Recovery
from carecall.simulation.crowd import (
    Crowd,
    answers_of_a_campaign,
    asleep_zones,
    awake_zones,
    quick_ladder,
    short_dialog,
)
from carecall.simulation.exchange_log import CallLog
from carecall.simulation.exchange_plan import Answer, Line, Pickup
from carecall.simulation.verdict import Ledger, Verdict
from carecall.store import Store
from carecall.store.engine import Database
from carecall.store.outreach import Fresh, Outreach
from carecall.store.personal import Cipher

DIALOG = find_dialog(Settings().dialogs_dir, "active-monitoring.en")

REPORT = Report(DIALOG.id, DIALOG.language, DIALOG.version, DIALOG.hash, Outcome.COMPLETED, (), ())


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path / 'carecall.sqlite3'}"
    Store.open(url, upgrade=True).close()
    database = Database(url, Cipher(""), lambda: datetime.now(UTC))
    yield database
    database.close()


@pytest.fixture
def crowd(database: Database) -> Crowd:
    """Two people who may be called now, and one who may not."""
    now = datetime.now(UTC)
    crowd = Crowd(database, quick_ladder(1, {}))
    for _ in range(2):
        crowd.add([Pickup()], awake_zones(now)[0])
    crowd.add([Pickup()], asleep_zones(now)[0], asleep=True)
    return crowd


def verdict(crowd: Crowd, log: CallLog) -> Verdict:
    return Ledger(crowd.database).judge(crowd.enrollments, log.calls, per_second=10, rings=1)


def dial(outreach: Outreach, attempt_id: uuid.UUID, call_sid: str) -> None:
    assert isinstance(outreach.begin_dial(attempt_id, may_dial, spacing_s=0.1), Fresh)
    outreach.placed(attempt_id, call_sid)


def test_a_check_is_open_until_it_has_its_report_or_its_task(crowd: Crowd) -> None:
    outreach, store, log = Outreach(crowd.database), Store(crowd.database), CallLog()
    assert verdict(crowd, log).open == 2, "checks that were never begun are open"

    assert outreach.plan_due(next_check) == 3
    reached, handed_over = outreach.start_attempts(lambda *_: DIALOG)
    for number, attempt_id in enumerate((reached, handed_over)):
        dial(outreach, attempt_id, f"CA{number}")
        log.open(f"CA{number}", f"+1555000000{number}", Line(), inbound=False).ended_at = datetime.now(UTC)
    now = verdict(crowd, log)
    assert (now.slots, now.calls, now.open, now.stuck, now.unowned) == (2, 2, 2, 2, 0)

    store.attempts.advance(reached, AttemptState.IN_PROGRESS)
    store.calls.finish(reached, REPORT)
    store.attempts.advance(handed_over, AttemptState.NO_ANSWER)
    for attempt_id in (reached, handed_over):
        outreach.conclude(attempt_id, next_step)
    end = verdict(crowd, log)
    assert end.good
    assert (end.slots, end.reports, end.tasks, end.open, end.lost, end.stuck) == (2, 1, 1, 0, 0, 0)


def test_what_must_not_happen_on_the_line_is_counted(crowd: Crowd) -> None:
    log, closed = CallLog(), Line(opens=time(0), closes=time(0))
    first = log.open("CA1", "+15550000000", Line(), inbound=False)
    log.open("CA2", "+15550000000", Line(), inbound=False)
    log.open("CA3", "+15550000001", closed, inbound=False)
    for record in log.calls:
        record.rang_at = record.created_at
    first.ended_at = first.created_at + timedelta(minutes=1)
    bad = verdict(crowd, log)
    assert not bad.good
    assert (bad.doubled, bad.too_often, bad.unowned, bad.outside_window) == (1, 1, 3, 1)
    assert "doubled 1 too_often 1 unowned 3 outside_window 1" in str(bad)


def test_people_whose_hours_are_closed_are_not_due(crowd: Crowd) -> None:
    outreach = Outreach(crowd.database)
    outreach.plan_due(next_check)
    assert len(outreach.start_attempts(lambda *_: DIALOG)) == 2
    assert crowd.lines["+15550000002"].time_zone in asleep_zones(datetime.now(UTC))


@pytest.mark.parametrize("hour", range(24))
def test_at_any_hour_somebody_is_awake_and_somebody_asleep(hour: int) -> None:
    now = datetime(2026, 7, 1, hour, 20, tzinfo=UTC)
    for zone in awake_zones(now):
        assert time(9) <= now.astimezone(ZoneInfo(zone)).time() < time(18)
    assert awake_zones(now)
    assert asleep_zones(now)
    assert not set(awake_zones(now)) & set(asleep_zones(now))


def test_a_campaigns_telephones_behave_in_the_given_shares() -> None:
    answers = answers_of_a_campaign(random.Random(1))
    first = Counter(answers()[0].answer for _ in range(2000))
    for answer, share in ((Answer.NO_ANSWER, 0.2), (Answer.BUSY, 0.1), (Answer.MACHINE, 0.1)):
        assert first[answer] / 2000 == pytest.approx(share, abs=0.03)
    assert (first[Answer.FAILED] + first[Answer.INVALID]) / 2000 == pytest.approx(0.05, abs=0.02)


def test_the_short_dialog_is_a_dialog(tmp_path: Path) -> None:
    dialog = find_dialog(short_dialog(Settings().dialogs_dir, tmp_path), "short-check.en")
    assert [question.code for question in dialog.agenda] == ["fever", "cough"]
    with pytest.raises(CareCallError):
        short_dialog(tmp_path / "dialogs" / "nowhere", tmp_path / "other")


def test_recovery_is_told_from_the_last_kill_to_the_next_progress(crowd: Crowd) -> None:
    outreach, ledger, recovery = Outreach(crowd.database), Ledger(crowd.database), Recovery()
    outreach.plan_due(next_check)
    attempts = outreach.start_attempts(lambda *_: DIALOG)
    recovery.killed(ledger.under_way(datetime.now(UTC)))
    recovery.look(ledger.under_way(datetime.now(UTC)))
    assert not recovery.whole
    assert recovery.worst_s == 0
    for number, attempt_id in enumerate(attempts):
        dial(outreach, attempt_id, f"CA{number}")
    recovery.look(ledger.under_way(datetime.now(UTC)))
    assert recovery.whole
    assert 0 < recovery.worst_s < 10
