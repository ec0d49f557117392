"""Personal data at rest: what is sealed opens only with its key and in its column."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carecall.errors import StoreError
from carecall.store.personal import Cipher

ANY_TEXT = st.text(st.characters())  # lone surrogates too: a terminal can hand them over


@given(ANY_TEXT)
def test_what_is_sealed_opens_again(text: str) -> None:
    cipher = Cipher("a key")
    assert cipher.open(cipher.seal(text, "turn.text"), "turn.text") == text


@given(ANY_TEXT)
def test_without_a_key_the_text_is_kept_as_it_is(text: str) -> None:
    cipher = Cipher("")
    assert not cipher.seals
    assert cipher.open(cipher.seal(text, "turn.text"), "turn.text") == text


def test_a_sealed_text_shows_nothing_and_never_the_same_twice() -> None:
    cipher = Cipher("a key")
    first, second = (cipher.seal("my chest hurts", "turn.text") for _ in range(2))
    assert b"chest" not in first
    assert first != second


def test_a_sealed_text_opens_in_no_other_column() -> None:
    cipher = Cipher("a key")
    with pytest.raises(StoreError, match="CARECALL_SECRET_KEY"):
        cipher.open(cipher.seal("Mina Park", "recipient.name"), "memory.text")


@pytest.mark.parametrize("secret", ["", "another key"])
def test_a_wrong_or_missing_key_is_one_clear_line(secret: str) -> None:
    sealed = Cipher("a key").seal("Mina Park", "recipient.name")
    with pytest.raises(StoreError, match="CARECALL_SECRET_KEY") as refusal:
        Cipher(secret).open(sealed, "recipient.name")
    assert "Mina" not in str(refusal.value)


def test_what_was_written_before_there_was_a_key_can_still_be_read() -> None:
    plain = Cipher("").seal("Mina Park", "recipient.name")
    assert Cipher("a key").open(plain, "recipient.name") == "Mina Park"


def test_a_number_is_found_however_it_is_written() -> None:
    cipher = Cipher("a key")
    assert cipher.phone_index("+82 10-5550-101") == cipher.phone_index("+82105550101")
    assert cipher.phone_index("+82105550101") != Cipher("another key").phone_index("+82105550101")
    assert cipher.phone_index("") is None
