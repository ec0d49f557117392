"""The key is changed while the program runs: all stays readable, people are found, and in the end one key is left."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import LargeBinary, create_engine, text, type_coerce
from sqlmodel import select
from typer.testing import CliRunner

from carecall.cli import app
from carecall.domain.language import Language
from carecall.errors import StoreError
from carecall.settings import settings
from carecall.store import Store, rekey
from carecall.store.memories import Append
from carecall.store.people import Person
from carecall.store.personal import Cipher, personal_columns
from carecall.store.tables import Row

OLD = "the-old-key-of-at-least-thirty-two-characters"
NEW = "the-new-key-of-at-least-thirty-two-characters"
BOTH = f"{NEW} {OLD}"
PHONE = "+82105550101"


def person(number: int) -> str:
    return f"Person {number}"


def fill(url: str, secret: str, people: int = 5) -> list[uuid.UUID]:
    with Store.open(url, secret=secret, upgrade=True) as store:
        ids = [store.recipients.add(person(n), f"+8210555{n:04}", Language.KOREAN, notes="") for n in range(people)]
        store.memories.apply(ids[0], [Append("Has a daughter.")])
    return ids


def forms(url: str) -> set[bytes]:
    """What the personal values in the file begin with."""
    engine = create_engine(url)
    found: set[bytes] = set()
    with engine.begin() as connection:
        for table in Row.metadata.sorted_tables:
            for column in personal_columns(table):
                values = connection.execute(select(type_coerce(column, LargeBinary()))).scalars()
                found |= {bytes(value)[:5] for value in values if value is not None}
    engine.dispose()
    return found


def test_after_a_change_the_new_key_alone_opens_everything(url: str) -> None:
    ids = fill(url, OLD)
    with Store.open(url, secret=BOTH) as store:
        heard: list[int] = []
        expected = store.keys.remaining()
        assert store.keys.rekey("operator", heard.append) == sum(heard) == expected
        assert store.keys.remaining() == 0
    assert forms(url) == {Cipher(NEW).prefix}
    with Store.open(url, secret=NEW) as store:
        assert [store.recipients.get(each).name for each in ids] == [person(n) for n in range(5)]
        assert [each.text for each in store.memories.standing(ids[0])] == ["Has a daughter."]
        assert store.audit.check().trouble == ""
    with pytest.raises(StoreError, match="CARECALL_SECRET_KEY"):
        Store.open(url, secret=OLD)


def test_people_are_found_before_while_and_after(url: str) -> None:
    (first, *_) = fill(url, OLD)
    with Store.open(url, secret=BOTH) as store:
        later = store.recipients.add("Mina Park", PHONE, Language.KOREAN)
        for _ in range(2):
            assert [row.id for row in store.recipients.find(person(0), "+82105550000")] == [first]
            assert [row.id for row in store.recipients.find("Mina Park", PHONE)] == [later]
            assert [each.recipient.id for each in store.people.named(person(0))] == [first]
            listed = Person(person(0), "+82105550000", Language.KOREAN, "UTC")
            assert [fate.known for fate in store.people.import_people([listed], dry_run=True)] == [first]
            store.keys.rekey("operator")
    with Store.open(url, secret=NEW) as store:
        assert [row.id for row in store.recipients.find(person(0), "+82105550000")] == [first]


def test_a_number_that_opted_out_is_kept_off_while_the_key_is_changed(url: str) -> None:
    (first, *_) = fill(url, OLD)
    with Store.open(url, secret=BOTH) as store:
        campaign = store.recipients.add_campaign("Well-being", "wellbeing", datetime.now(UTC).date())
        store.recipients.enroll(first, campaign)
        store.recipients.opt_out(first)
        other = Person("Somebody Else", "+82105550000", Language.KOREAN, "UTC")
        assert [fate.refusal for fate in store.people.import_people([other], dry_run=True)] == ["opted_out"]


def test_a_change_that_broke_off_goes_on_where_it_was(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rekey, "_AT_ONCE", 2)
    ids = fill(url, OLD, people=9)

    class Stopped(Exception):
        pass

    def stop(_rows: int) -> None:
        raise Stopped

    with Store.open(url, secret=BOTH) as store:
        before = store.keys.remaining()
        with pytest.raises(Stopped):
            store.keys.rekey("operator", stop)
        left = store.keys.remaining()
        assert 0 < left < before
        assert [store.recipients.get(each).name for each in ids] == [person(n) for n in range(9)]
    with Store.open(url, secret=BOTH) as store:
        assert store.keys.rekey("operator") == left
    with Store.open(url, secret=NEW) as store:
        assert [store.recipients.get(each).name for each in ids] == [person(n) for n in range(9)]


def test_what_others_write_meanwhile_is_sealed_anew_too(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rekey, "_AT_ONCE", 2)
    fill(url, OLD)
    with Store.open(url, secret=f"{OLD} {NEW}") as other, Store.open(url, secret=BOTH) as store:
        added: list[uuid.UUID] = []

        def write(_rows: int) -> None:
            if len(added) < 3:
                added.append(other.recipients.add("Latecomer", "", Language.ENGLISH))

        store.keys.rekey("operator", write)
        assert store.keys.remaining() == 0
        assert {store.recipients.get(each).name for each in added} == {"Latecomer"}


def test_a_process_that_has_not_heard_of_the_new_key_is_refused_and_breaks_nothing(url: str) -> None:
    (first, *_) = fill(url, OLD)
    with Store.open(url, secret=OLD) as unaware, Store.open(url, secret=BOTH) as store:
        store.keys.rekey("operator")
        with pytest.raises(StoreError, match="CARECALL_SECRET_KEY"):
            unaware.recipients.get(first)
        with pytest.raises(StoreError, match="CARECALL_SECRET_KEY"):
            unaware.audit.record("user:1", "recipient.viewed", f"recipient:{first}")
        assert store.audit.check().trouble == ""


def test_values_from_before_they_were_bound_to_rows_are_read_and_bound(url: str) -> None:
    """A database of an older program: form G, sealed for the column alone, and plain text from before the key."""
    (first, second, *_) = fill(url, OLD)
    engine = create_engine(url)
    cipher = Cipher(OLD)
    with engine.begin() as connection:
        nonce = b"n" * 12
        (key,) = cipher._keys
        old = b"G" + nonce + key.aead.encrypt(nonce, b"Mina Park", b"recipient.name")
        change = text("UPDATE recipient SET name = :name WHERE id = :id")
        connection.execute(change, {"name": old, "id": first.hex})
        connection.execute(change, {"name": b"TJun Lee", "id": second.hex})
        sample = cipher.seal("carecall", "key_check.sample", "1")
        connection.execute(text("UPDATE key_check SET sample = :sample"), {"sample": sample})
    engine.dispose()
    with Store.open(url, secret=BOTH) as store:
        assert store.recipients.names([first, second]) == {first: "Mina Park", second: "Jun Lee"}
        store.keys.rekey("operator")
        assert store.recipients.names([first, second]) == {first: "Mina Park", second: "Jun Lee"}
    assert forms(url) == {Cipher(NEW).prefix}


def test_without_a_key_there_is_nothing_to_change(url: str) -> None:
    fill(url, "")
    with Store.open(url) as store, pytest.raises(StoreError, match="There is no key"):
        store.keys.rekey("operator")


def test_a_row_that_cannot_be_read_is_named_and_nothing_is_lost(url: str) -> None:
    first, second, *_ = fill(url, OLD)
    engine = create_engine(url)
    with engine.begin() as connection:
        moved = "UPDATE recipient SET name = (SELECT name FROM recipient WHERE id = :other) WHERE id = :id"
        connection.execute(text(moved), {"other": second.hex, "id": first.hex})
    engine.dispose()
    with Store.open(url, secret=BOTH) as store:
        with pytest.raises(StoreError, match=f"recipient.name {first.hex} was changed or moved"):
            store.keys.rekey("operator")
        assert store.recipients.get(second).name == person(1)


@pytest.fixture
def configured(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CARECALL_DATABASE_URL", url)
    monkeypatch.setenv("CARECALL_SECRET_KEY", BOTH)
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_the_command_says_when_the_old_key_may_go(url: str, configured: None) -> None:
    fill(url, OLD)
    done = CliRunner().invoke(app, ["db", "rekey"])
    assert done.exit_code == 0
    assert "rows are sealed anew" in done.stdout
    assert "set CARECALL_SECRET_KEY to it alone" in done.stdout
    again = CliRunner().invoke(app, ["db", "rekey"])
    assert again.stdout.startswith(("0 rows", "1 rows"))
    checked = CliRunner().invoke(app, ["db", "audit-check", "--json"])
    assert json.loads(checked.stdout)["trouble"] == ""
