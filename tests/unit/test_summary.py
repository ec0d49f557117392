"""The summary of a call: what it tells, and that every word it quotes was said."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carecall.dialog.files import find_dialog
from carecall.dialog.summary import summarise, unsupported
from carecall.domain.finding import Evidence, Finding, Missing, Ternary
from carecall.domain.report import Outcome, Report
from carecall.domain.triage import Alert, Urgency
from carecall.domain.turn import Speaker, Turn
from carecall.settings import Settings

DIALOGS = {name: find_dialog(Settings().dialogs_dir, name) for name in ("wellbeing.en", "wellbeing.ko")}
WELL = (
    Finding("ate", Ternary.YES, (Evidence(3, "had eggs"),)),
    Finding("slept_well", Ternary.UNKNOWN),
    Finding("small_talk", "I knit all day", (Evidence(5, "I knit all day"),)),
)


def report(**changes: object) -> Report:
    plain = Report("wellbeing", "en", "1.0.0", "0" * 64, Outcome.COMPLETED, WELL, ())
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_a_quiet_call_is_told_with_the_recipients_own_words() -> None:
    assert summarise(report(), DIALOGS["wellbeing.en"]) == (
        "The call was completed, with an answer to 2 of 3 questions. Nothing that was said needs attention. "
        "In their own words: “I knit all day”."
    )
    assert summarise(report(), DIALOGS["wellbeing.ko"]) == (
        "질문 3개 가운데 2개에 답을 듣고 통화를 마쳤습니다. 확인이 필요한 말은 없었습니다. "
        "직접 한 말: “I knit all day”."
    )


def test_what_needs_a_human_is_told_with_its_words_and_wishes_are_passed_on() -> None:
    alerts = (
        Alert("fall", Urgency.URGENT, "Had a fall lately.", (Evidence(7, "fell in the bath"),)),
        Alert("low_mood", Urgency.ATTENTION, "Feels down or lonely.", ()),
        Alert("not_eating", Urgency.ATTENTION, "Has not eaten today.", ()),
    )
    told = summarise(report(alerts=alerts, notes=("could someone fix my boiler",)), DIALOGS["wellbeing.en"])
    assert told == (
        "The call was completed, with an answer to 2 of 3 questions. "
        "Urgent: Had a fall lately (“fell in the bath”); Needs attention: Feels down or lonely and 1 more. "
        "To pass on: “could someone fix my boiler”."
    )


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_told_in_one_sentence_when_nothing_was_found_out(outcome: Outcome) -> None:
    for each in DIALOGS.values():
        nothing = report(outcome=outcome, findings=(Finding("ate", Missing.NOT_ASKED),))
        assert summarise(nothing, each).count(".") == 1


def test_a_quote_that_nobody_said_is_found() -> None:
    turns = [
        Turn(0, Speaker.AGENT, "Did you fall?", 0.0, 1.0),
        Turn(1, Speaker.RECIPIENT, "yes I fell in the bath", 1.0, 2.0),
    ]
    assert unsupported("Had a fall (“fell in the bath”).", turns) == []
    assert unsupported("Had a fall (“Did you fall?”), “fell down the stairs”.", turns) == [
        "Did you fall?",
        "fell down the stairs",
    ]


@given(st.text(max_size=400))
def test_whatever_was_said_the_summary_quotes_it_as_it_was_said(text: str) -> None:
    turns = [Turn(5, Speaker.RECIPIENT, text, 0.0, 1.0)]
    said = Finding("small_talk", text, (Evidence(5, text),))
    alert = Alert("fall", Urgency.URGENT, "Had a fall lately.", (Evidence(5, text),))
    for dialog in DIALOGS.values():
        assert unsupported(summarise(report(findings=(said,), alerts=(alert,)), dialog), turns) == []
        assert unsupported(summarise(report(findings=(said,), notes=(text,)), dialog), turns) == []
