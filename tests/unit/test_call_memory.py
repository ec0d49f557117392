"""What a call does to the memories of its recipient."""

import datetime
import uuid

import pytest

from carecall.call_memory import changes
from carecall.domain.report import Outcome, Report
from carecall.domain.turn import Speaker, Turn
from carecall.memory.memory import Memory, Topic


def after(language: str, remembered: list[str], *said: str) -> set[str]:
    """What is remembered after a call in which this was said to a question about something else."""
    day = datetime.date(2026, 1, 5)
    memories = [Memory(id=str(uuid.uuid4()), text=text, topic=Topic.HEALTH, created_on=day) for text in remembered]
    turns = [Turn(0, Speaker.AGENT, "Have you eaten today?", 0, 1, asked="ate")]
    turns += [Turn(n, Speaker.RECIPIENT, text, n, n + 1, asked="ate") for n, text in enumerate(said, 1)]
    report = Report("wellbeing", language, "1.0.0", "0" * 64, Outcome.COMPLETED, (), ())
    return set(changes(turns, report, memories, (), day + datetime.timedelta(7)).after)


@pytest.mark.parametrize(
    ("language", "remembered", "said", "kept"),
    [
        ("en", ["Has a sore hip.", "Planted tulips."], "hip is all better now thank you", {"Planted tulips."}),
        ("en", ["Has a sore hip.", "Has a sore knee."], "the knee is fine", {"Has a sore hip."}),
        ("ko", ["허리가 아프다.", "고양이를 키운다."], "허리는 이제 다 나았어", {"고양이를 키운다."}),
    ],
)
def test_a_trouble_that_is_said_to_be_over_is_dropped(
    language: str, remembered: list[str], said: str, kept: set[str]
) -> None:
    assert after(language, remembered, said) == kept


@pytest.mark.parametrize("said", ["the weather is fine", "no everything is fine", "I am fine", "fine"])
def test_what_names_nothing_remembered_ends_nothing(said: str) -> None:
    assert after("en", ["Has a sore hip."], said) >= {"Has a sore hip."}
