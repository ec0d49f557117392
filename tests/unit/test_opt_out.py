"""A wish not to be called any more is honoured, however it is put."""

import datetime

import pytest

from carecall.dialog.understanding import Asked, Intent
from carecall.dialog.understanding.rules import rules_for
from carecall.domain.finding import AnswerType
from carecall.domain.language import Language

ASKS = {Language.ENGLISH: "Have you eaten today?", Language.KOREAN: "식사는 하셨어요?"}


def intent_of(language: Language, reply: str) -> Intent:
    asked = Asked(ASKS[language], AnswerType.YES_NO)
    return rules_for(language).read(reply, asked, datetime.date(2026, 1, 5)).intent


@pytest.mark.parametrize(
    ("language", "reply"),
    [
        (Language.ENGLISH, "put me on the do not call list"),
        (Language.ENGLISH, "please add my number to your do not call register"),
        (Language.ENGLISH, "no more ringing here"),
        (Language.KOREAN, "우리 아들이 이런 전화 받지 말래요"),
    ],
)
def test_who_wants_no_calls_gets_none(language: Language, reply: str) -> None:
    assert intent_of(language, reply) is Intent.STOP_CALLING


@pytest.mark.parametrize(
    ("language", "reply"),
    [
        (Language.ENGLISH, "there are no more ringing bells in the village"),
        (Language.KOREAN, "이런 전화 반가워요"),
    ],
)
def test_who_speaks_of_something_else_is_still_called(language: Language, reply: str) -> None:
    assert intent_of(language, reply) is not Intent.STOP_CALLING
