"""What makes a well-shaped dialog file a wrong one, in words that say how to mend it."""

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from carecall.dialog.file_schema import (
    CONDITION_TAGS,
    MAX_WORDINGS,
    AllPart,
    AnyPart,
    BetweenPart,
    ChoicePart,
    CodingPart,
    CountPart,
    DialogPart,
    IsPart,
    QuestionPart,
    TextsPart,
    TriagePart,
)
from carecall.dialog.yaml_source import Location, Problem, Source, Value, shown
from carecall.domain.finding import AnswerType, Missing, Ternary
from carecall.domain.language import Language

# May be said to somebody else, who must not learn what the call is about.
_BEFORE_IDENTITY = frozenset(
    (
        "greeting",
        "greeting_inbound",
        "identity_again",
        "repeat_lead",
        "wait",
        "silence",
        "who_is_this",
        "are_you_a_robot",
        "resumed",
        "close_later",
        "close_wrong_person",
        "close_opted_out",
        "close_silence",
        "voicemail",
    )
)
_WHO_CALLS = {"{organisation}": "who calls"}
_OPENINGS = {  # the first that somebody hears of us, and what it must say beside that a machine calls
    "greeting": {"{name}": "who is called", **_WHO_CALLS},
    "greeting_inbound": {"{name}": "who is called", **_WHO_CALLS},
    "voicemail": _WHO_CALLS,
}
_HEALTH_WORDS = {
    Language.ENGLISH: re.compile(
        r"\b(clinic|corona|cough|covid|diagnos|disease|doctor|fever|health|hospital|illness|infect|isolation|medic|nurse"
        r"|patient|quarantin|sick|symptom|treatment)\w*",
        re.IGNORECASE,
    ),
    Language.KOREAN: re.compile(
        "간호|감염|건강|격리|기침|몸 ?상태|발열|병원|보건|복약|아프|우울"
        "|의료|의사|접촉자|증상|진료|질병|질환|체온|코로나|확진|환자"
    ),
}
_DISCLOSURE = {
    Language.ENGLISH: re.compile(r"\bAI\b|artificial intelligence", re.IGNORECASE),
    Language.KOREAN: re.compile("AI|에이아이|인공지능"),
}
_FORCED_ANSWER = {
    Language.ENGLISH: re.compile(r"\byes\b\W*(?:\bor\b|/)\W*(?:a )?\bno\b", re.IGNORECASE),
    Language.KOREAN: re.compile(r"(?<![가-힣])[네예]\W*(?:또는|혹은|아니면|이나|나)?\W*아니[오요]"),
}
_RELIEF = {
    Language.ENGLISH: re.compile(
        r"\b(?:glad|good|happy|nice|pleased) to hear|\bgood news\b|\b(?:great|wonderful|excellent)\b", re.IGNORECASE
    ),
    Language.KOREAN: re.compile("다행|좋네|좋아요|잘됐|반가운"),
}
_PLACEHOLDER = re.compile(r"\{[^{}]*\}|[{}]")
_ANSWERS = (*(str(each) for each in Ternary), *(str(each) for each in Missing))

_PARTS: dict[str, type[BaseModel]] = {
    "agenda": QuestionPart,
    "choices": ChoicePart,
    "coding": CodingPart,
    "texts": TextsPart,
    "triage": TriagePart,
    **dict(zip(CONDITION_TAGS, (IsPart, BetweenPart, CountPart, AllPart, AnyPart), strict=True)),
}
_CONDITIONS = (
    "{finding: …, is: …}, {finding: …, at_least: …, below: …}, {count: […], at_least: …}, {all: […]}, {any: […]}"
)


def shape_problems(error: ValidationError, source: Source) -> list[Problem]:
    """What pydantic found, by line and in plain words."""
    problems = []
    for each in error.errors(include_url=False):
        if each["type"] == "too_short" and each["input"]:
            continue  # it has parts, all of them wrong and told of
        loc: Location = each["loc"]
        text = _shape_text(each["type"], loc, each.get("input"), each.get("ctx") or {}, each["msg"])
        problems.append(Problem(source.line(tuple(part for part in loc if part not in CONDITION_TAGS)), text))
    return problems


def _shape_text(kind: str, loc: Location, value: Any, context: dict[str, Any], message: str) -> str:
    keys = [str(part) for part in loc if isinstance(part, str) and part not in CONDITION_TAGS]
    name = f"`{keys[-1]}`" if keys else "the file"
    match kind:
        case "missing":
            return f"{f'`{keys[-2]}`' if len(keys) > 1 else 'the file'} lacks {name}; add it"
        case "extra_forbidden":
            return f"{name} is not known here{_instead(keys[-1], _known_keys(loc[:-1]))}"
        case "enum" | "literal_error":
            expected = re.findall(r"'([^']*)'", str(context.get("expected", "")))
            return f"{name} is {shown(value)}{_instead(str(value), expected)}"
        case "union_tag_not_found" | "union_tag_invalid":
            return f"{name} has something that is not a condition; write one of {_CONDITIONS}"
        case "too_long":
            return f"{name} has {context['actual_length']} wordings; keep at most {MAX_WORDINGS}, one and two re-asks"
        case "string_pattern_mismatch" if not str(value).strip():
            return f"{name} has an empty text; write the words, or take the line away"
        case "string_pattern_mismatch" if keys[-1] == "version":
            return f"{name} is {shown(value)}; write three numbers such as 1.0.0"
        case "string_pattern_mismatch":
            return f"{name} has {shown(value)}; start with a lower-case letter, then lower-case letters, digits and _"
        case _:
            return f"{name} is {shown(value)}; {_WANTED.get(kind, message)}"


_WANTED = {
    "string_type": "write a text; put numbers, true and false in quotes",
    "bool_type": "write true or false",
    "float_type": "write a number, without quotes",
    "int_type": "write a whole number, without quotes",
    "greater_than_equal": "write 1 or more",
    "tuple_type": "write a list, one `- ` a line",
    "too_short": "write at least one",
    "model_type": "write `key: value` lines under it",
}


def _known_keys(loc: Location) -> list[str]:
    words = [part for part in loc if isinstance(part, str)]
    if not words:
        model: type[BaseModel] = DialogPart
    elif words[-1] == "acknowledge":
        return ["good", "bad", "neutral"]
    else:
        model = _PARTS[words[-1]]
    return [field.alias or name for name, field in model.model_fields.items()]


def _instead(wrong: str, known: list[str]) -> str:
    near = difflib.get_close_matches(wrong, known, n=1)
    if near:
        return f"; did you mean `{near[0]}`?"
    return f"; known are {', '.join(known)}"


@dataclass(frozen=True, slots=True)
class _Codes:
    """What conditions may speak of."""

    questions: dict[str, dict[str, Value]]
    findings: frozenset[str] | None  # of the lexicon; None: there is none to check against

    def known(self, code: Value) -> bool:
        return not isinstance(code, str) or code in self.questions or self.heard(code)

    def heard(self, code: str) -> bool:
        """Whether the lexicon has it."""
        return self.findings is None or code in self.findings

    def type(self, code: Value) -> Value:
        """A question's type. A lexicon finding is yes_no; an unknown code, told of elsewhere, passes as one."""
        return self.questions.get(str(code), {}).get("type", AnswerType.YES_NO)

    def answers(self, code: Value) -> list[str]:
        return _answers(self.questions.get(str(code), {}))


def language_of(source: Source, path: Path) -> Language:
    """The language that a dialog is in: as it says itself, else as its file name says, else English."""
    for name in (_mapping(source.value).get("language"), path.stem.rpartition(".")[2]):
        if isinstance(name, str) and name in list(Language):
            return Language(name)
    return Language.ENGLISH


def content_problems(source: Source, path: Path, findings: frozenset[str] | None) -> list[Problem]:
    """What is wrong with the content, whatever its shape: parts of a wrong shape are passed over here.

    ``findings`` are the lexicon's; None when there is no lexicon to check against.
    """
    dialog, language = _mapping(source.value), language_of(source, path)
    return [Problem(source.line(at), text) for at, text in _content(dialog, path, language, findings)]


Found = Iterator[tuple[Location, str]]


def _content(dialog: dict[str, Value], path: Path, language: Language, findings: frozenset[str] | None) -> Found:
    name = f"{dialog.get('id')}.{dialog.get('language')}"
    if {"id", "language"} <= dialog.keys() and path.stem != name:
        key = "language" if path.stem.startswith(f"{dialog['id']}.") else "id"
        yield (key,), f"id and language make `{name}`, but the file is {path.name}; rename one of them"
    agenda = [(("agenda", index), _mapping(each)) for index, each in enumerate(_list(dialog.get("agenda")))]
    codes = _Codes({str(each["code"]): each for _, each in reversed(agenda) if "code" in each}, findings)
    yield from _repeats("code", agenda)
    for at, question in agenda:
        yield from _question(at, question, codes)
    rules = [(("triage", index), _mapping(each)) for index, each in enumerate(_list(dialog.get("triage")))]
    yield from _repeats("id", rules)
    for at, rule in rules:
        yield from _condition((*at, "when"), rule.get("when"), codes)
    yield from _wording(dialog, agenda, language)


def _repeats(key: str, parts: list[tuple[tuple[str, int], dict[str, Value]]]) -> Found:
    seen: set[str] = set()
    for at, part in parts:
        value = str(part.get(key))
        if key in part and value in seen:
            yield (*at, key), f"`{key}` {value} is used twice; give each its own"
        seen.add(value)


def _question(at: Location, question: dict[str, Value], codes: _Codes) -> Found:
    kind = question.get("type")
    if kind == AnswerType.NUMBER and question.get("unit") is None:
        yield (*at, "type"), "a number question needs a `unit`; add one, such as unit: celsius"
    if kind != AnswerType.NUMBER and "unit" in question:
        yield (*at, "unit"), "only a number question has a `unit`; take it away, or make the type number"
    choices = [_mapping(each).get("id") for each in _list(question.get("choices"))]
    if kind == AnswerType.CHOICE and len(choices) < 2:
        yield (*at, "choices" if choices else "type"), "a choice question needs two or more `choices`; add them"
    if kind != AnswerType.CHOICE and choices:
        yield (*at, "choices"), "only a choice question has `choices`; take them away, or make the type choice"
    for index, value in enumerate(_list(question.get("bad"))):
        if isinstance(value, str) and value not in _answers(question):
            yield (*at, "bad", index), f"`bad` has {value}{_instead(value, _answers(question))}"
    for value in _mapping(question.get("confirm")):
        if value not in _answers(question):
            yield (*at, "confirm", value), f"`confirm` has {value}{_instead(value, _answers(question))}"
    for key in ("about", "opposite"):
        for index, value in enumerate(_list(question.get(key))):
            if isinstance(value, str) and not codes.heard(value):
                yield (
                    (*at, key, index),
                    f"`{key}` has {value}, which the lexicon lacks{_near(value, codes.findings or ())}",
                )
    if "when" in question:
        yield from _condition((*at, "when"), question["when"], codes)


def _answers(question: dict[str, Value]) -> list[str]:
    match question.get("type"):
        case AnswerType.YES_NO | None:
            return list(_ANSWERS)
        case AnswerType.CHOICE:
            ids = [_mapping(each).get("id") for each in _list(question.get("choices"))]
            return [*(str(each) for each in ids), *Missing]
        case _:
            return list(Missing)


def _condition(at: Location, value: Value, codes: _Codes) -> Found:
    condition = _mapping(value)
    for key in ("all", "any"):
        for index, each in enumerate(_list(condition.get(key))):
            yield from _condition((*at, key, index), each, codes)
    for index, code in enumerate(_list(condition.get("count"))):
        yield from _code((*at, "count", index), code, codes)
        if codes.type(code) != AnswerType.YES_NO:
            yield (*at, "count", index), f"{code} is not a yes_no question; `count` counts those that are yes"
    code = condition.get("finding")
    if "finding" not in condition:
        return
    yield from _code((*at, "finding"), code, codes)
    if {"at_least", "below"} & condition.keys():
        if codes.type(code) not in (AnswerType.NUMBER, AnswerType.DURATION_DAYS):
            yield (*at, "finding"), f"{code} is not a number; compare it with `is`"
    else:
        wanted = condition.get("is")
        possible = codes.answers(code)
        for answer in wanted if isinstance(wanted, list) else [wanted]:
            if isinstance(answer, str) and answer not in possible:
                yield (*at, "is"), f"{code} is never {answer}{_instead(answer, possible)}"


def _code(at: Location, code: Value, codes: _Codes) -> Found:
    if not codes.known(code):
        near = _near(str(code), [*codes.questions, *(codes.findings or ())])
        yield at, f"no question and no lexicon finding is called {code}{near}"


def _near(wrong: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(wrong, sorted(known), n=1)
    return f"; did you mean {near[0]}?" if near else "; add it, or use another code"


def _wording(
    dialog: dict[str, Value], agenda: list[tuple[tuple[str, int], dict[str, Value]]], language: Language
) -> Found:
    texts = _mapping(dialog.get("texts"))
    for at, question in agenda:
        for key in ("ask", "acknowledge", "confirm"):
            for here, text in _strings((*at, key), question.get(key)):
                yield from _placeholders(here, text, ("{name}", "{organisation}"))
                yield from _free_answer(here, text, language)
        yield from _bad_news((*at, "acknowledge", "bad"), question.get("acknowledge"), language)
    yield from _bad_news(("texts", "acknowledge", "bad"), texts.get("acknowledge"), language)
    for key, value in texts.items():
        allowed = ("{name}", "{organisation}", "{answer}") if key == "confirm" else ("{name}", "{organisation}")
        for here, text in _strings(("texts", key), value):
            yield from _placeholders(here, text, allowed)
            yield from _free_answer(here, text, language)
            if key == "confirm" and "{answer}" not in text:
                yield here, "`confirm` lacks {answer}; say there what was understood"
            if key in _BEFORE_IDENTITY and (word := _HEALTH_WORDS[language].search(text)):
                yield here, f"`{key}` says `{word[0]}`, and somebody else may be listening; say it without health words"
    for key, needs in _OPENINGS.items():
        for here, text in _strings(("texts", key), texts.get(key)):
            for needed, what in needs.items():
                if needed not in text:
                    yield here, f"`{key}` lacks {needed}; say {what}"
            if not _DISCLOSURE[language].search(text):
                words = {Language.ENGLISH: "AI", Language.KOREAN: "인공지능 or AI"}[language]
                yield here, f"`{key}` does not say that a machine calls; put {words} into it"


def _placeholders(at: Location, text: str, allowed: tuple[str, ...]) -> Found:
    for found in _PLACEHOLDER.findall(text):
        if found not in allowed:
            yield at, f"{found} is never filled in; use only {', '.join(allowed)}"


def _free_answer(at: Location, text: str, language: Language) -> Found:
    if _FORCED_ANSWER[language].search(text):
        yield at, "this asks for a bare yes or no; ask in other words and let people answer in theirs"


def _bad_news(at: Location, acknowledge: Value, language: Language) -> Found:
    for here, text in _strings(at, _mapping(acknowledge).get("bad")):
        if relief := _RELIEF[language].search(text):
            yield here, f"`{relief[0]}` sounds relieved after bad news; say that it was heard, without cheer"


def _strings(at: Location, value: Value) -> Iterator[tuple[Location, str]]:
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _strings((*at, index), each)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _strings((*at, key), each)


def _mapping(value: Value) -> dict[str, Value]:
    return value if isinstance(value, dict) else {}


def _list(value: Value) -> list[Value]:
    return value if isinstance(value, list) else []
