"""Who answers the phone: only who says so is the recipient."""

import pytest

from carecall.dialog.identity import says_to_be
from carecall.domain.language import Language

EN, KO = Language.ENGLISH, Language.KOREAN


@pytest.mark.parametrize(
    ("reply", "name", "language"),
    [
        ("this is she", "Ann Hale", EN),
        ("Speaking.", "Ann Hale", EN),
        ("Ann here", "Ann Hale", EN),
        ("yes it’s me", "Ann Hale", EN),
        ("그런데요", "김순자", KO),
        ("네 전데요", "김순자", KO),
        ("순자 맞아요", "김순자", KO),
    ],
)
def test_who_says_so_is_the_recipient(reply: str, name: str, language: Language) -> None:
    assert says_to_be(reply, name, language)


@pytest.mark.parametrize(
    ("reply", "name", "language"),
    [
        ("hello?", "Ann Hale", EN),
        ("this is her daughter", "Ann Hale", EN),
        ("who is speaking", "Ann Hale", EN),
        ("Ann is out", "Ann Hale", EN),
        ("", "Ann Hale", EN),
        ("여보세요", "김순자", KO),
        ("순자 딸이에요", "김순자", KO),
        ("김순자 씨 지금 안 계세요", "김순자", KO),
        ("", "", KO),
    ],
)
def test_anybody_else_is_not(reply: str, name: str, language: Language) -> None:
    assert not says_to_be(reply, name, language)
