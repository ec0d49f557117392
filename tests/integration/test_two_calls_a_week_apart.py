"""Memory from call to call: what one call says is followed up in the next, kept up to date, ended when it is over."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from carecall.cli import app
from carecall.settings import Settings
from carecall.store import Store

FIRST, SECOND = "2026-03-02", "2026-03-09"


def chat(dialog: str, day: str, *replies: str) -> tuple[list[str], dict[str, Any]]:
    """A stored call by text: the agent's sentences and the report with the memory."""
    options = ["--date", day, "--name", "Kim", "--llm", "none", "--json"]
    result = CliRunner().invoke(app, ["chat", dialog, *options], input="\n".join(replies) + "\n")
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = json.loads(result.stdout)
    return [line.removeprefix("agent: ") for line in result.stderr.splitlines()], report


def operations(report: dict[str, Any]) -> dict[str, tuple[str, list[str]]]:
    return {each["new"]: (each["operation"], each["stored"]) for each in report["memory"]["decisions"]}


def value(report: dict[str, Any], code: str) -> object:
    return next((each["value"] for each in report["findings"] if each["code"] == code), None)


CALLS = {
    "wellbeing.en": (
        [
            "yes",
            "yes I had eggs",
            "slept well",
            "my knee hurts",
            "no",
            "yes I went out",
            "I walk every day",
            "no",
            "hm",
        ],
        "Last time you told me that you have a sore knee. How is it now?",
        "Has a sore knee.",
        ["yes", "yes", "yes", "oh it's all gone now, thank you"],
        "oh it's all gone now, thank you",
    ),
    "wellbeing.ko": (
        [
            "네",
            "네 먹었어요",
            "잘 잤어요",
            "무릎이 아파요",
            "아니요",
            "네 나갔다 왔어요",
            "매일 걸어요",
            "아니요",
            "글쎄",
        ],
        "지난번에 무릎이 아프다고 하셨는데, 지금은 좀 어떠세요?",
        "무릎이 아프다.",
        ["네", "네", "네", "이제 다 나았어요"],
        "이제 다 나았어요",
    ),
}


@pytest.mark.parametrize("dialog", CALLS)
def test_a_trouble_is_followed_up_a_week_later_and_forgotten_once_it_is_over(dialog: str) -> None:
    first, question, trouble, second, answer = CALLS[dialog]
    said, report = chat(dialog, FIRST, *first)
    assert question not in said
    assert report["memory"]["before"] == []
    assert trouble in report["memory"]["after"]
    assert operations(report)[trouble] == ("append", [])

    said, report = chat(dialog, SECOND, *second)
    assert said.count(question) == 1
    assert value(report, "follow_up_health") == answer
    assert trouble in report["memory"]["before"]
    assert trouble not in report["memory"]["after"]
    assert operations(report)[answer] == ("delete", [trouble])
    assert set(report["memory"]["after"]) == set(report["memory"]["before"]) - {trouble}


@pytest.mark.parametrize(
    ("dialog", "still"), [("wellbeing.en", "no it still hurts"), ("wellbeing.ko", "아직도 아파요")]
)
def test_what_still_stands_is_kept_and_not_asked_about_the_next_time(dialog: str, still: str) -> None:
    first, question, trouble, second, _ = CALLS[dialog]
    chat(dialog, FIRST, *first)
    said, report = chat(dialog, SECOND, *second[:-1], still)
    assert question in said
    assert trouble in report["memory"]["after"]
    said, report = chat(dialog, "2026-03-16", *second)
    assert question not in said
    assert trouble in report["memory"]["after"]


@pytest.mark.parametrize(
    ("dialog", "spoken"),
    [("wellbeing.en", "yes and my knee is better"), ("wellbeing.ko", "네 먹었고 무릎은 이제 괜찮아요")],
)
def test_what_the_recipient_has_spoken_of_is_not_followed_up(dialog: str, spoken: str) -> None:
    first, question, _, _, _ = CALLS[dialog]
    chat(dialog, FIRST, *first)
    said, report = chat(dialog, SECOND, "yes" if dialog.endswith("en") else "네", spoken, *["", "", ""])
    assert question not in said
    assert value(report, "follow_up_health") is None


@pytest.mark.parametrize(
    ("dialog", "request_", "said_so"),
    [
        ("wellbeing.en", "please forget that", "I will not keep that in mind"),
        ("wellbeing.ko", "그건 기억하지 마세요", "기억해 두지 않을게요"),
    ],
)
def test_what_was_just_said_is_not_kept_on_request(dialog: str, request_: str, said_so: str) -> None:
    first, _, trouble, _, _ = CALLS[dialog]
    place = next(place for place, reply in enumerate(first) if reply in ("my knee hurts", "무릎이 아파요"))
    said, report = chat(dialog, FIRST, *first[: place + 1], request_, *first[place + 1 :])
    assert any(said_so in sentence for sentence in said)
    assert trouble not in report["memory"]["after"]
    assert value(report, "medication_missed") == "no"


@pytest.mark.parametrize(
    ("dialog", "request_"), [("wellbeing.en", "forget about that please"), ("wellbeing.ko", "그건 이제 잊어 주세요")]
)
def test_a_remembered_thing_is_deleted_on_request(dialog: str, request_: str) -> None:
    first, question, trouble, second, _ = CALLS[dialog]
    chat(dialog, FIRST, *first)
    said, report = chat(dialog, SECOND, *second[:-1], request_)
    assert said.count(question) == 1
    assert trouble not in report["memory"]["after"]
    assert operations(report)[request_] == ("delete", [trouble])
    assert value(report, "follow_up_health") is None
    assert said[-1] != question


@pytest.mark.parametrize(
    ("dialog", "request_"),
    [("wellbeing.en", "please forget about my knee"), ("wellbeing.ko", "무릎 얘기는 잊어 주세요")],
)
def test_a_thing_that_is_named_is_deleted_on_request(dialog: str, request_: str) -> None:
    first, question, trouble, _, _ = CALLS[dialog]
    chat(dialog, FIRST, *first)
    said, report = chat(dialog, SECOND, first[0], request_, *["", "", ""])
    assert question not in said
    assert trouble not in report["memory"]["after"]


def test_nothing_is_remembered_of_a_call_with_somebody_else() -> None:
    _, report = chat("wellbeing.en", FIRST, "I have a dog named Rex", "she is my sister and she has a bad knee", "no")
    assert report["memory"] == {"before": [], "after": [], "decisions": []}


def test_every_memory_knows_the_call_and_the_turn_it_was_said_in() -> None:
    chat("wellbeing.en", FIRST, *CALLS["wellbeing.en"][0])
    with Store.open(Settings().database) as store:
        (recipient,) = store.recipients.find("Kim", "")
        memories = store.memories.standing(recipient.id)
        for memory in memories:
            assert memory.source_attempt_id is not None
            turns = {turn.index: turn.text for turn in store.calls.turns(memory.source_attempt_id)}
            assert memory.source_turn is not None
            assert turns[memory.source_turn] in ("my knee hurts", "I walk every day")
        assert len(memories) == 2
