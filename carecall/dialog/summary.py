"""The summary of a call: two or three sentences for the care worker, of findings and quotes alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from carecall.dialog.definition import Dialog
from carecall.domain.finding import AnswerType, Finding, Missing, Ternary
from carecall.domain.language import Language
from carecall.domain.report import Outcome, Report
from carecall.domain.triage import Alert, Urgency
from carecall.domain.turn import Speaker, Turn

_MOST_QUOTED = 90  # characters of a quote
_MOST_ALERTS = 2  # that are told; the report has all
_QUOTE = re.compile("“([^”]*)”")


@dataclass(frozen=True, slots=True)
class _Words:
    ended: dict[Outcome, str]  # {answered} of {asked} questions
    urgency: dict[Urgency, str]
    more: str  # {count} further alerts
    nothing: str
    to_pass_on: str  # {quote}
    own_words: str  # {quote}


_WORDS = {
    Language.ENGLISH: _Words(
        ended={
            Outcome.COMPLETED: "The call was completed, with an answer to {answered} of {asked} questions.",
            Outcome.EMERGENCY: "A danger sign took over the call after an answer to {answered} of {asked} questions.",
            Outcome.HUNG_UP: "They left the call after answering {answered} of {asked} questions.",
            Outcome.SAID_GOODBYE: "They ended the call after answering {answered} of {asked} questions.",
            Outcome.SILENT: "The call was taken, but nothing was heard.",
            Outcome.CALL_LATER: "They asked to be called at another time.",
            Outcome.WRONG_PERSON: "Somebody else answered.",
            Outcome.OPTED_OUT: "They asked not to be called any more.",
            Outcome.INTERRUPTED: "The call broke off on our side after an answer to {answered} of {asked} questions.",
        },
        urgency={
            Urgency.EMERGENCY: "Emergency",
            Urgency.URGENT: "Urgent",
            Urgency.ATTENTION: "Needs attention",
            Urgency.ROUTINE: "Routine",
        },
        more=" and {count} more",
        nothing="Nothing that was said needs attention.",
        to_pass_on="To pass on: “{quote}”.",
        own_words="In their own words: “{quote}”.",
    ),
    Language.KOREAN: _Words(
        ended={
            Outcome.COMPLETED: "질문 {asked}개 가운데 {answered}개에 답을 듣고 통화를 마쳤습니다.",
            Outcome.EMERGENCY: "위험 신호가 있어 질문 {asked}개 가운데 {answered}개에 답을 듣고 통화를 멈췄습니다.",
            Outcome.HUNG_UP: "질문 {asked}개 가운데 {answered}개에 답한 뒤 전화가 끊겼습니다.",
            Outcome.SAID_GOODBYE: "질문 {asked}개 가운데 {answered}개에 답한 뒤 먼저 통화를 마쳤습니다.",
            Outcome.SILENT: "전화는 받았지만 아무 말도 들리지 않았습니다.",
            Outcome.CALL_LATER: "다른 때 전화해 달라고 했습니다.",
            Outcome.WRONG_PERSON: "다른 사람이 전화를 받았습니다.",
            Outcome.OPTED_OUT: "더는 전화하지 말아 달라고 했습니다.",
            Outcome.INTERRUPTED: "질문 {asked}개 가운데 {answered}개에 답을 듣고 시스템 문제로 중단되었습니다.",
        },
        urgency={
            Urgency.EMERGENCY: "응급",
            Urgency.URGENT: "긴급",
            Urgency.ATTENTION: "확인 필요",
            Urgency.ROUTINE: "이상 없음",
        },
        more=" 외 {count}건",
        nothing="확인이 필요한 말은 없었습니다.",
        to_pass_on="전할 말: “{quote}”.",
        own_words="직접 한 말: “{quote}”.",
    ),
}


def summarise(report: Report, dialog: Dialog) -> str:
    """Two or three sentences in the dialog's language; one when nothing was found out. Pure."""
    words = _WORDS[dialog.language]
    found = {finding.code: finding for finding in report.findings}
    agenda = [question for question in dialog.agenda if not question.remembered and question.code in found]
    answered = sum(_has_answer(found[question.code]) for question in agenda)
    sentences = [words.ended[report.outcome].format(answered=answered, asked=len(agenda))]
    if report.alerts:
        sentences.append(_alerts(report.alerts, words))
    elif answered:
        sentences.append(words.nothing)
    if report.notes:
        sentences.append(words.to_pass_on.format(quote=_clipped(report.notes[0])))
    elif open_answers := [
        finding.evidence[-1].quote
        for question in dialog.agenda
        if question.type is AnswerType.OPEN and (finding := found.get(question.code)) and finding.evidence
    ]:
        sentences.append(words.own_words.format(quote=_clipped(open_answers[-1])))
    return " ".join(sentences)


def unsupported(summary: str, turns: Sequence[Turn]) -> list[str]:
    """The quotes of a summary that stand in no turn of the recipient's."""
    said = [turn.text for turn in turns if turn.speaker is Speaker.RECIPIENT]
    return [quote for quote in _QUOTE.findall(summary) if not any(quote in text for text in said)]


def _has_answer(finding: Finding) -> bool:
    return finding.value is not Ternary.UNKNOWN and not isinstance(finding.value, Missing)


def _alerts(alerts: Sequence[Alert], words: _Words) -> str:
    told = [_alert(alert, words) for alert in alerts[:_MOST_ALERTS]]
    more = words.more.format(count=len(alerts) - len(told)) if len(alerts) > len(told) else ""
    return "; ".join(told) + more + "."


def _alert(alert: Alert, words: _Words) -> str:
    told = f"{words.urgency[alert.urgency]}: {alert.reason.rstrip('.')}"
    return f"{told} (“{_clipped(alert.evidence[-1].quote)}”)" if alert.evidence else told


def _clipped(quote: str) -> str:
    """The beginning of a quote, to the end of a word, so that it still stands in the turn as it is."""
    quote = quote.partition("”")[0].strip()
    return quote if len(quote) <= _MOST_QUOTED else quote[:_MOST_QUOTED].rsplit(None, 1)[0]
