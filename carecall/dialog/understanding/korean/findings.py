"""Reads from clauses what a Korean reply says of one finding: that it is there, or that it is not."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from carecall.dialog.understanding.korean.clauses import Clause
from carecall.dialog.understanding.lexicon import FindingKind, FindingPhrases, Phrases
from carecall.domain.finding import Ternary

HAPPENED = frozenset({FindingKind.EVENT, FindingKind.ACT})  # stays so when the person is well again
WELCOME = frozenset({FindingKind.ACT, FindingKind.STATE})  # asked about, never volunteered as a finding

Span = tuple[int, int]
_PLACELESS = re.compile(r"안|못|몬|암|하나도|어디|아[무프픈파플]")
_NOT_SO = re.compile(r"(?:안|못)\s?(?:해|하|나[요와네고]|그래|그렇|아[프파])|없|읎")
_FEELINGS = frozenset({"low_mood", "loneliness"})
_OF_OTHERS = re.compile(r"워[하해]|어[하해]|대[요]?\s*[.]?$|더라|하[더셔시]|[하한]다[고네]")
_NEVER_ALONE = re.compile(
    r"(?:별로|거의|전혀|도?통|하나도|꼼짝|엄두도?|아무도|한 ?발[짝자도]*|아직|아무것도|뻔)\s*\Z"
)  # need a "not"
_NO_PHRASES = Phrases()
_PAST_TENSE = re.compile(r"[았었했갔왔였렸졌쳤났](?!으면)")


@dataclass(frozen=True, slots=True)
class Statement:
    """What one clause says of one finding."""

    id: str
    value: Ternary
    span: Span  # the words, in the reply
    clause: Clause
    words: str = ""  # what the clause calls it
    weak: bool = False  # of an earlier time only, or carried over from another clause


def _within(inner: Span, outers: Sequence[Span]) -> bool:
    return any(start <= inner[0] and inner[1] <= end for start, end in outers)


def _cover(spans: Sequence[Span]) -> Span:
    return min(start for start, _ in spans), max(end for _, end in spans)


def statement(name: str, phrases: FindingPhrases, text: str, clause: Clause) -> Statement | None:
    """What the clause says of the finding; None when it does not speak of it."""
    absent = [
        match.span()
        for match in phrases.absent.finditer(text, clause.start, clause.end)
        if not _overlap([match.span()], clause.rhetorical)
    ]
    present = [match.span() for match in phrases.present.finditer(text, clause.start, clause.end)]
    if name == "medication_missed" and clause.planned and not present and not _PAST_TENSE.search(clause.text):
        return Statement(name, Ternary.YES, clause.span, clause, weak=True) if absent else None
    if absent and present:
        if any(first <= other[0] < last for first, last in present for other in absent):
            absent = [] if present[0][0] < absent[0][0] or _longer(present[0], absent[0]) else absent
        if absent:
            present = [] if absent[-1][0] >= present[-1][0] or _overlap(absent, present) else present
            absent = [] if present else absent
    if absent:
        outside = [each for each in clause.negations if not _within(each, absent)]
        inside = len(outside) < len(clause.negations)
        first, last = _cover(absent)
        turned = not (inside or _NEVER_ALONE.search(text[first:last])) and any(
            -1 <= first - end <= 1 or 0 <= start - last <= 4 for start, end in outside
        )
        spans = [*absent, *(outside if turned else [])]
        value = Ternary.YES if turned else Ternary.NO
        return Statement(name, value, _cover(spans), clause, text[first:last])
    if not present:
        return None
    aside = [*present, *clause.over, *clause.fine]
    denials = [each for each in clause.negations if not _within(each, aside) and _reaches(each, present, text)]
    over = [each for each in clause.over if not _within(each, present)]
    well = [each for each in clause.fine if not _within(each, present)]
    spans = list(present)
    value = Ternary.YES
    if phrases.kind not in HAPPENED and (over or (well and phrases.kind not in WELCOME)):
        spans += over or well
        still = [each for each in denials if _turns(each, (over or well)[0], text)]
        value = Ternary.YES if still else Ternary.NO
        spans += still
    elif len(denials) % 2:
        spans += denials
        value = Ternary.NO
    weak = clause.past and (clause.long_ago or phrases.kind not in HAPPENED)
    if weak and value is Ternary.YES:
        value = Ternary.NO
    return Statement(name, value, _cover(spans), clause, text[slice(*present[0])], weak=weak)


def _reaches(negation: Span, words: Sequence[Span], text: str) -> bool:
    """Whether the negation stands close enough to deny the words."""
    if any("거나" in text[first : negation[0]] for first, _ in words):
        return True
    return any(negation[0] - last <= 14 if negation[0] >= last else first - negation[1] <= 1 for first, last in words)


def _turns(negation: Span, ending: Span, text: str) -> bool:
    """Whether the negation denies "it is over": 안 괜찮아, 괜찮지 않아; but not 없어 멀쩡해."""
    if negation[0] >= ending[0]:
        return True
    return negation[1] + 1 >= ending[0] and text[negation[0]] in "안못"


def settled(stated: Sequence[Statement]) -> Statement | None:
    """What the statements about one finding come to: the latest, but a denial of another word takes nothing back."""
    verdict: Statement | None = None
    for each in stated:
        if verdict is None or verdict.weak or not each.weak:
            takes_back = (
                verdict is None
                or verdict.value is Ternary.NO
                or each.value is Ternary.YES
                or each.clause.now
                or bool(each.clause.over)
                or each.words[:2] == verdict.words[:2]
                or _PAST_TENSE.search(verdict.clause.text) is not None
            )
            if takes_back:
                verdict = each
    return verdict


def own_feeling(each: Statement, text: str) -> bool:
    """Whether a feeling is the speaker's though the clause has another subject: "자식들이 다 떠나 적적해".

    Of others Korean says that they seem or are said to feel: 외로워해, 우울하대.
    """
    if each.id not in _FEELINGS or _OF_OTHERS.search(each.clause.text):
        return False
    before = text[each.clause.start : each.span[0]]
    return (
        re.search(r"[가-힣]\s[가-힣]+\s*\Z", before) is not None and re.search(r"(?:이|가|은|는)\s*\Z", before) is None
    )


def _longer(one: Span, other: Span) -> bool:
    return one[0] == other[0] and one[1] - one[0] > other[1] - other[0]


def _overlap(ones: Sequence[Span], others: Sequence[Span]) -> bool:
    return any(start < last and first < end for start, end in ones for first, last in others)


def _only(present: Phrases, absent: Phrases) -> FindingPhrases:
    return FindingPhrases(topic=_NO_PHRASES, present=present, absent=absent)


def _spoken_of(
    findings: Mapping[str, FindingPhrases], text: str, clause: Clause, usable: frozenset[str]
) -> list[Statement]:
    return [
        each
        for name, phrases in findings.items()
        if name in usable
        and (each := statement(name, phrases, text, clause)) is not None
        and all(each.span[0] <= doubt[0] < each.span[1] for doubt in clause.unsure)
    ]


def statements(
    findings: Mapping[str, FindingPhrases],
    text: str,
    clauses: Sequence[Clause],
    *,
    usable: frozenset[str],
    also: Mapping[str, tuple[Phrases, Phrases]],
    lately: frozenset[str] = frozenset(),
) -> list[Statement]:
    """All statements of the clauses about the usable findings, in the order of the reply.

    A clause that names no finding but says "it is gone" speaks of what the clause before named; one that names none at
    all may do so by the words in ``also``, which mean the finding that was asked about: that it is there, or is not.
    Of the findings in ``lately`` it counts whether they happened, over or not.
    """
    findings = {
        name: replace(phrases, kind=FindingKind.EVENT) if name in lately and phrases.kind not in WELCOME else phrases
        for name, phrases in findings.items()
    }
    found: list[Statement] = []
    last: list[Statement] = []
    for clause in clauses:
        if clause.supposed and "뻔" not in clause.text:
            continue
        here = _spoken_of(findings, text, clause, usable)
        if also and all(each.id == "pain" and _PLACELESS.match(each.words) for each in here):
            asked = _spoken_of({name: _only(*words) for name, words in also.items()}, text, clause, usable)
            here = asked or here
        if not here and last and clause.lasting and not clause.other:
            here = [Statement(each.id, Ternary.YES, _cover(clause.lasting), clause) for each in last]
        if here:
            last = here
        elif (
            last and not clause.other and (clause.over or (clause.now and (clause.fine or _NOT_SO.search(clause.text))))
        ):
            ending = clause.over or clause.fine or [clause.span]
            still = any(_turns(each, ending[0], text) and not _within(each, ending) for each in clause.negations)
            here = [
                Statement(each.id, Ternary.YES if still else Ternary.NO, _cover(ending), clause)
                for each in last
                if findings[each.id].kind not in HAPPENED and not each.clause.other
            ]
        found += here
    return found
