"""Personal data in the database file: bound to its place, whoever has written to the file."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Executable, Label, create_engine, insert, text, update
from sqlalchemy.orm import aliased
from sqlmodel import col, select

from carecall.domain.language import Language
from carecall.errors import StoreError
from carecall.store import Store
from carecall.store.engine import Database, insert_all_new, insert_new
from carecall.store.personal import Cipher, PersonalText
from carecall.store.tables import RecipientRow, Row

SECRET = "a-key-of-at-least-thirty-two-characters"


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    opened = Database(store_url, Cipher(SECRET), lambda: datetime.now(UTC))
    yield opened
    opened.close()


@pytest.fixture
def store_url(url: str) -> str:
    with Store.open(url, secret=SECRET, upgrade=True):
        return url


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with Store.open(store_url, secret=SECRET) as opened:
        yield opened


def in_the_file(url: str, sql: str, **values: object) -> None:
    """What somebody does who can write to the database, but has not the key."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(sql), values)
    engine.dispose()


def two_people(store: Store) -> tuple[uuid.UUID, uuid.UUID]:
    first = store.recipients.add("Mina Park", "+82105550101", Language.KOREAN, notes="hard of hearing")
    return first, store.recipients.add("Jun Lee", "+82105550102", Language.KOREAN)


def test_a_name_that_was_moved_to_another_person_cannot_be_read(store: Store, store_url: str) -> None:
    first, second = two_people(store)
    engine = create_engine(store_url)
    with engine.begin() as connection:
        (one, of_one), (other, of_other) = connection.execute(text("SELECT id, name FROM recipient")).all()
        for person, name in ((one, of_other), (other, of_one)):
            connection.execute(
                text("UPDATE recipient SET name = :name WHERE id = :person"), {"name": name, "person": person}
            )
    engine.dispose()
    for person in (first, second):
        with pytest.raises(StoreError, match=f"recipient.name {person.hex} was changed or moved"):
            store.recipients.get(person)
        with pytest.raises(StoreError, match="changed or moved"):
            store.recipients.names([person])


def test_a_value_that_was_moved_to_another_column_cannot_be_read(store: Store, store_url: str) -> None:
    first, _ = two_people(store)
    in_the_file(store_url, "UPDATE recipient SET name = notes")
    with pytest.raises(StoreError, match="changed or moved"):
        store.recipients.get(first)


def test_plain_text_put_into_the_file_is_not_believed(store: Store, store_url: str) -> None:
    first, _ = two_people(store)
    in_the_file(store_url, "UPDATE recipient SET phone = :value", value=b"T+82109999999")
    with pytest.raises(StoreError, match="changed or moved"):
        store.recipients.get(first)


def test_a_person_is_read_through_rows_columns_aliases_and_joins(store: Store, database: Database) -> None:
    first, second = two_people(store)
    other = aliased(RecipientRow)
    with database.reading() as session:
        assert session.get_one(RecipientRow, first).name == "Mina Park"
        named: Label[str] = col(RecipientRow.name).label("called")
        assert session.exec(select(named).where(RecipientRow.id == first)).one() == "Mina Park"
        pair = select(RecipientRow.name, other.name).join(other, col(other.id) != RecipientRow.id)
        assert session.exec(pair.where(RecipientRow.id == second)).one() == ("Jun Lee", "Mina Park")


def test_a_changed_value_is_bound_to_its_row_again(store: Store, database: Database) -> None:
    first, second = two_people(store)
    with database.writing() as session:
        row, other = session.get_one(RecipientRow, first), session.get_one(RecipientRow, second)
        row.notes = other.name  # a text that came out of another row
    assert store.recipients.get(first).notes == "Jun Lee"
    assert store.recipients.get(first).name == "Mina Park"


def test_rows_in_bulk_are_bound_to_themselves(database: Database) -> None:
    rows = [
        RecipientRow(
            name=f"Person {number}",
            phone="",
            name_index="",
            language=Language.ENGLISH,
            time_zone="UTC",
            created_at=database.now(),
        )
        for number in range(3)
    ]
    with database.writing() as session:
        assert insert_new(session, rows[0])
        insert_all_new(session, RecipientRow, [row.model_dump() for row in rows[1:]])
        session.flush()
    with database.reading() as session:
        assert set(session.exec(select(RecipientRow.name))) == {"Person 0", "Person 1", "Person 2"}


@pytest.mark.parametrize(
    "statement",
    [
        insert(RecipientRow).values(id=uuid.uuid4(), name="Mina Park"),
        update(RecipientRow).values(notes="hard of hearing"),
        select(RecipientRow.id).where(RecipientRow.name == "Mina Park"),
    ],
    ids=["insert", "update", "compare"],
)
def test_a_text_without_its_row_is_refused_and_not_repeated(
    database: Database, statement: Executable, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StoreError) as refusal, database.writing() as session:
        session.execute(statement)
    assert "Mina" not in str(refusal.value) + caplog.text


def test_every_table_with_personal_text_has_a_key_to_bind_it_to() -> None:
    for table in Row.metadata.sorted_tables:
        if any(isinstance(column.type, PersonalText) for column in table.columns):
            assert len(table.primary_key) > 0
