"""The audit trail cannot be changed or cut short unseen by somebody who can write to the database."""

import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from databases import POSTGRES
from sqlalchemy import create_engine, text
from typer.testing import CliRunner

from carecall.cli import app
from carecall.domain.language import Language
from carecall.errors import StoreError
from carecall.settings import settings
from carecall.store import Store
from carecall.store.engine import Database
from carecall.store.personal import Cipher
from carecall.store.tables import AuditRow

SECRET = "a-key-of-at-least-thirty-two-characters"
_TRIGGERS = (
    ("DROP TRIGGER audit_is_append_only_UPDATE ON audit", "DROP TRIGGER audit_is_append_only_DELETE ON audit")
    if POSTGRES
    else ("DROP TRIGGER audit_is_append_only_UPDATE", "DROP TRIGGER audit_is_append_only_DELETE")
)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url, secret=SECRET, upgrade=True) as opened:
        yield opened


def looked_at(store: Store, times: int = 5) -> None:
    for number in range(times):
        store.audit.record("user:1", "recipient.viewed", f"recipient:{number}", page=number)


def tampered(url: str, *statements: str) -> None:
    """What somebody does who owns the database, but has not the key."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in (*_TRIGGERS, *statements):
            connection.execute(text(statement))
    engine.dispose()


def test_a_trail_that_nobody_touched_holds(store: Store) -> None:
    looked_at(store)
    found = store.audit.check()
    assert (found.rows, found.trouble, found.broken_at) == (5, "", None)
    assert found.newest == store.audit.newest_hash()


def test_what_one_transaction_notes_is_linked_in_its_order(store: Store) -> None:
    person = store.recipients.add("Mina Park", "+82105550101", Language.KOREAN)
    store.recipients.opt_out(person)
    assert [row.action for row in store.audit.of(f"recipient:{person}")] == ["recipient.added", "recipient.opted_out"]
    assert store.audit.check().trouble == ""


@pytest.mark.parametrize(
    ("change", "broken_at"),
    [
        ("UPDATE audit SET subject = 'recipient:9' WHERE id = 3", 3),
        ("UPDATE audit SET details = '{}' WHERE id = 3", 3),
        ("UPDATE audit SET actor = 'user:2' WHERE id = 1", 1),
        ("DELETE FROM audit WHERE id = 3", 4),
        ("DELETE FROM audit WHERE id = 1", 2),
        ("UPDATE audit SET hash = '' WHERE id = 3", 3),
    ],
)
def test_the_first_row_that_was_changed_or_lost_one_before_it_is_named(
    url: str, store: Store, change: str, broken_at: int
) -> None:
    looked_at(store)
    tampered(url, change)
    found = store.audit.check()
    assert found.broken_at == broken_at
    assert f"row {broken_at} " in found.trouble


def test_rows_taken_away_from_the_end_are_missed_and_stay_missed(url: str, store: Store) -> None:
    looked_at(store)
    tampered(url, "DELETE FROM audit WHERE id > 3")
    assert "newest rows were taken away" in store.audit.check().trouble
    looked_at(store, 2)
    assert store.audit.check().broken_at == (6 if POSTGRES else 4), "SQLite gives a free number again"


@pytest.mark.parametrize("also", ["DELETE FROM audit WHERE id > 3", "UPDATE audit SET hash = ''"])
def test_the_sealed_end_cannot_be_taken_away_with_the_rows(url: str, store: Store, also: str) -> None:
    looked_at(store)
    tampered(url, also, "DELETE FROM audit_head")
    assert "sealed end of the chain is gone" in store.audit.check().trouble
    looked_at(store)
    assert "was lost once" in store.audit.check().trouble


def test_a_sealed_end_that_was_made_up_is_noticed(url: str, store: Store) -> None:
    looked_at(store)
    tampered(url, "UPDATE audit_head SET ends = (SELECT sample FROM key_check)")
    assert "cannot be read" in store.audit.check().trouble
    looked_at(store, 1)
    assert store.audit.check().trouble != ""


def test_a_hash_that_was_noted_elsewhere_proves_that_nothing_before_it_was_written_anew(store: Store) -> None:
    looked_at(store)
    noted = store.audit.newest_hash()
    looked_at(store)
    assert store.audit.check(seen=noted).seen
    assert not store.audit.check(seen="0" * 64).seen


def test_rows_from_before_the_chain_are_its_beginning(url: str) -> None:
    with Store.open(url, upgrade=True) as store:
        pass
    engine = create_engine(url)
    old = "INSERT INTO audit (at, actor, action, subject, details, hash) VALUES (:at, 'a', 'b', 'c', '{}', '')"
    with engine.begin() as connection:
        for _ in range(3):
            connection.execute(text(old), {"at": datetime.now(UTC).replace(tzinfo=None).isoformat(" ")})
    engine.dispose()
    with Store.open(url) as store:
        looked_at(store)
        assert (store.audit.check().rows, store.audit.check().trouble) == (8, "")
        tampered(url, "UPDATE audit SET actor = 'z' WHERE id = 2")
        assert store.audit.check().broken_at == 4


def test_rows_past_their_time_leave_a_chain_that_holds(url: str) -> None:
    past = datetime.now(UTC) - timedelta(days=800)
    with Store.open(url, secret=SECRET, upgrade=True, clock=lambda: past) as store:
        looked_at(store)
    with Store.open(url, secret=SECRET) as store:
        looked_at(store, 2)
        assert store.audit.forget(datetime.now(UTC) - timedelta(days=732)) == 5
        assert store.audit.forget(datetime.now(UTC) - timedelta(days=732)) == 0
        assert (store.audit.check().rows, store.audit.check().trouble) == (2, "")
        tampered(url, "DELETE FROM audit WHERE id = 6")
        assert store.audit.check().broken_at == 7


def test_a_row_within_two_years_cannot_be_forgotten(store: Store) -> None:
    looked_at(store)
    with pytest.raises(StoreError, match="append-only"):
        store.audit.forget(datetime.now(UTC) + timedelta(days=1))
    assert store.audit.check().trouble == ""


def test_writers_at_once_make_one_chain(url: str, store: Store) -> None:
    def write() -> None:
        with Store.open(url, secret=SECRET) as mine:
            looked_at(mine, 20)

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert (store.audit.check().rows, store.audit.check().trouble) == (80, "")


def test_a_transaction_that_fails_leaves_no_row_and_no_gap(url: str, store: Store) -> None:
    looked_at(store)
    with pytest.raises(StoreError):
        store.recipients.enroll(uuid.uuid4(), uuid.uuid4())
    looked_at(store)
    assert (store.audit.check().rows, store.audit.check().trouble) == (10, "")


def test_the_command_names_the_first_broken_row(url: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARECALL_SECRET_KEY", SECRET)
    monkeypatch.setenv("CARECALL_DATABASE_URL", url)
    settings.cache_clear()
    looked_at(store)
    run = CliRunner().invoke
    good = run(app, ["db", "audit-check", "--seen", store.audit.newest_hash()])
    assert (good.exit_code, good.stdout.startswith("5 rows, none changed")) == (0, True)
    assert run(app, ["db", "audit-check", "--seen", "0" * 64]).exit_code == 1
    tampered(url, "UPDATE audit SET actor = 'user:2' WHERE id = 2")
    bad = run(app, ["db", "audit-check"])
    assert (bad.exit_code, "row 2 " in bad.stdout) == (1, True)


def test_a_row_keeps_what_was_noted(url: str, store: Store) -> None:
    store.audit.record("user:1", "recipient.viewed", "recipient:1", words="큰 소리", share=0.5, all=True, none=None)
    database = Database(url, Cipher(SECRET), lambda: datetime.now(UTC))
    with database.reading() as session:
        row = session.get_one(AuditRow, 1)
        assert row.details == {"words": "큰 소리", "share": 0.5, "all": True, "none": None}
    database.close()
    assert store.audit.check().trouble == ""
