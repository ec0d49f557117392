"""Personal data at rest: what is sealed opens only with its key, in its column and in its row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carecall.errors import StoreError
from carecall.store.personal import Cipher

ANY_TEXT = st.text(st.characters())  # lone surrogates too: a terminal can hand them over
NAME = ("recipient.name", "1")


@given(ANY_TEXT)
def test_what_is_sealed_opens_again(text: str) -> None:
    cipher = Cipher("a_key")
    assert cipher.open(cipher.seal(text, "turn.text", "1/2"), "turn.text", "1/2") == text


@given(ANY_TEXT)
def test_without_a_key_the_text_is_kept_as_it_is(text: str) -> None:
    cipher = Cipher("")
    assert not cipher.seals
    assert cipher.open(cipher.seal(text, "turn.text", "1/2"), "turn.text", "1/2") == text


def test_a_sealed_text_shows_nothing_and_never_the_same_twice() -> None:
    cipher = Cipher("a_key")
    first, second = (cipher.seal("my chest hurts", "turn.text", "1/2") for _ in range(2))
    assert b"chest" not in first
    assert first != second


@pytest.mark.parametrize("place", [("memory.text", "1"), ("recipient.name", "2"), ("recipient.name", "")])
def test_a_sealed_text_opens_in_no_other_place(place: tuple[str, str]) -> None:
    cipher = Cipher("a_key")
    with pytest.raises(StoreError, match="changed or moved") as refusal:
        cipher.open(cipher.seal("Mina Park", *NAME), *place)
    assert "Mina" not in str(refusal.value)


@pytest.mark.parametrize("secret", ["", "another_key"])
def test_a_wrong_or_missing_key_is_one_clear_line(secret: str) -> None:
    sealed = Cipher("a_key").seal("Mina Park", *NAME)
    with pytest.raises(StoreError, match="CARECALL_SECRET_KEY") as refusal:
        Cipher(secret).open(sealed, *NAME)
    assert "Mina" not in str(refusal.value)


def test_what_was_written_before_there_was_a_key_can_still_be_read() -> None:
    plain = Cipher("").seal("Mina Park", *NAME)
    assert Cipher("a_key").open(plain, *NAME) == "Mina Park"


def test_once_every_value_is_sealed_for_its_row_no_other_is_believed() -> None:
    plain = Cipher("").seal("Mina Park", *NAME)
    cipher = Cipher("a_key")
    cipher.bound_only = True
    with pytest.raises(StoreError, match="changed or moved"):
        cipher.open(plain, *NAME)


@pytest.mark.parametrize("secret", ["new old", "new,old", " new,\n old "])
def test_of_several_keys_each_opens_and_the_newest_seals(secret: str) -> None:
    both = Cipher(secret)
    assert both.open(Cipher("old").seal("Mina Park", *NAME), *NAME) == "Mina Park"
    assert Cipher("new").open(both.seal("Mina Park", *NAME), *NAME) == "Mina Park"


def test_a_number_is_found_however_it_is_written() -> None:
    cipher = Cipher("a_key")
    assert cipher.phone_index("+82 10-5550-101") == cipher.phone_index("+82105550101")
    assert cipher.phone_index("+82105550101") != Cipher("another_key").phone_index("+82105550101")
    assert cipher.phone_index("") is None


def test_while_keys_are_changed_people_are_looked_for_under_each() -> None:
    both = Cipher("new old")
    assert both.name_indexes("Mina Park") == [Cipher(each).name_index("Mina Park") for each in ("new", "old")]
    assert both.email_indexes("Mina@Example.org ") == [
        Cipher(each).email_index("mina@example.org") for each in ("new", "old")
    ]
    assert both.phone_indexes("") == []
