"""Korean sentences by morphological analysis: their content words, and their plain written form."""

from collections.abc import Iterator
from typing import Any

from carecall.morphology import ANALYSING, analyser

_NOUNS = ("NNG", "NNP", "XR", "SL", "SN")
_VERBS = ("VV", "VA")
_ACTIONS = ("VV", "XSV")
_PREDICATES = ("VV", "VA", "VX", "VC", "XSV", "XSA")
_COURTESY = ("요", "시", "으시")
_HELPING = ("않", "못하", "주", "보", "버리", "두", "놓")  # take the kind of the verb before them
_SHORTEST = 2  # morphemes of a statement before its ending


def _tokens(text: str) -> list[Any]:
    with ANALYSING:
        return list(analyser().tokenize(text))


def stems(text: str) -> Iterator[tuple[str, int, int, bool]]:
    """The content words: stem, start and end in the text, and whether it is a verb."""
    for token in _tokens(text):
        if token.tag.startswith(_NOUNS + _VERBS):
            yield token.form, token.start, token.start + token.len, token.tag.startswith(_VERBS)


def of(subject: str, predicate: str) -> str:
    """``무릎`` and ``아직 아파`` become ``무릎이 아직 아파``."""
    closed = "가" <= subject[-1] <= "힣" and (ord(subject[-1]) - 0xAC00) % 28 > 0
    return f"{subject}{'이' if closed else '가'} {predicate.strip()}"


def told(text: str) -> Iterator[str]:
    """The statements of a reply as one remembers them: ``허리가 아파요`` becomes ``허리가 아프다.``

    All but the last word of a statement stays as it was said. What names nothing is no statement.
    """
    statement: list[Any] = []
    for token in _tokens(text):
        statement.append(token)
        if token.tag == "EF":
            yield from _remembered(text, statement)
            statement = []
    yield from _remembered(text, statement)


def _remembered(text: str, statement: list[Any]) -> Iterator[str]:
    if not any(token.tag.startswith(_NOUNS) for token in statement):
        return
    kept = [token for token in statement if token.form not in _COURTESY or token.tag not in ("JX", "EP")]
    while kept and not kept[-1].tag.startswith((*_PREDICATES, "EP")):
        if not kept[-1].tag.startswith(("E", "JX", "S", "IC", "MAG")):
            return
        kept.pop()
    if len(kept) < _SHORTEST:
        return
    start = max(text.rfind(" ", 0, kept[-1].start + 1) + 1, statement[0].start)
    last = [(token.form, token.tag) for token in kept if token.start >= start]
    with ANALYSING:
        written = analyser().join([*last, (_declarative([(token.form, token.tag) for token in kept]), "EF")])
    yield f"{text[statement[0].start : start]}{written}."


def _declarative(kept: list[tuple[str, str]]) -> str:
    """The ending of a written statement after this stem."""
    form, tag = kept[-1]
    main = next((each for _, each in reversed(kept) if each.startswith(("VV", "VA", "XSV", "XSA"))), tag)
    acts = tag.startswith(_ACTIONS) or (form in _HELPING and main.startswith(_ACTIONS))
    if tag == "EP" or not acts:
        return "다"
    last = (ord(form[-1]) - 0xAC00) % 28 if "가" <= form[-1] <= "힣" else 0
    return "ᆫ다" if last in (0, 8) else "는다"


def quoted(sentence: str) -> str:
    """``허리가 아프다.`` becomes ``허리가 아프다고``, to be followed by ``하셨는데``."""
    said = sentence.strip().rstrip(".")
    tags = [token.tag for token in _tokens(f"{said}.")]
    if said.endswith("다") and "VCP" in tags[-3:]:
        return f"{said[:-1]}라고"
    return f"{said}고" if said.endswith("다") else f"{said}라고"
