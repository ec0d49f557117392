"""What an English reply states of the recipient: which findings, affirmed or denied, now or at another time."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto

from carecall.dialog.understanding.english.spoken import Clause, Spoken
from carecall.dialog.understanding.lexicon import FindingKind, Lexicon, Phrases
from carecall.domain.finding import Ternary


class When(Enum):
    """The time a statement is about."""

    NOW = auto()
    YESTERDAY = auto()
    NEAR = auto()  # last week, on Monday
    FAR = auto()  # years ago
    PLANNED = auto()


@dataclass(frozen=True, slots=True)
class Statement:
    """A finding, stated of the recipient, at [start, end) of the normal form."""

    id: str
    value: Ternary
    start: int
    end: int
    when: When = When.NOW
    unsure: bool = False


OF_MEDICINE = frozenset({"medication_missed", "took_medicine"})  # "took it" is of them only where medicine is spoken of
# General words for pain mean nothing of their own where a particular pain is named.
_SPECIFIC_PAINS = ("chest_pain", "headache", "sore_throat", "myalgia")
_ECHO = re.compile(r"(?:feeling |any |a |no |the |my )?\w+(?: \w+)?$")
_WORDS_OF_A_LIST = 4
_AFTERTHOUGHT = 6  # words: "but that was years ago"
_COMPLETED = 3  # clauses
_BARE_WORDS = 9
_BARE = re.compile(
    r"^(?:(?:and|but|well|so|yes|no|oh|it is|it|they are|that is|i am|just|been|all|is|has been|honestly) )*"
)
_OWN_SUBJECT = re.compile(
    r"(?:i|my|he|she|they|we|you|the|there|nobody|who|what|if|when|can|could|do|did|have|not|no|none|"
    r"never|nope|knock|touch|well|which|anyway|as)\b"
)
_FIRST_PERSON = re.compile(r"\b(?:i|me|myself)\b")
_NEAR = 3  # words: "not full of energy", but not "wasn't out of breath and full of energy"
_LIST_VERB = re.compile(
    r"\b(?:is|are|am|was|were|have|has|had|hurts?|feel|feels|got|keeps?|can|do|did|does|been|i|my)\b"
)
_DENIED_AFTER = re.compile(
    r" (?:i (?:have|am|do|did|has) )?(?:no|none|not|nope|nil|negative|not any|not (?:got|had|have) any|not at all|"
    r"not really|not now|not today|absent)$"
)
_THIRD_PERSON_VERB = re.compile(
    r"(?:and |or )(?:a|an|some|the)\b|(?:and |who |but )?(?:has|is|was|s|had|keeps|kept|got|went|fell|can|could|with)\b"
)
_PARTICLE = re.compile(r"(?:oh |well )*(?:no|nope|nah) (?:my |the )?")  # "no head's all right" answers and affirms
_ANAPHOR = re.compile(
    r"(?:and |but |so |yes |no |though |although |then |well |now |thankfully |luckily |i think |thank god |oh )*"
    r"(?:(?:it|that|they|them|those|this|these|both|all of it|all|mine|which|the \w+(?: \w+)?|all that|that \w+ \w+) )"
)
_QUESTION = re.compile(
    r"(?:and |so |but |well |oh )?(?:do you|could (?:it|this|that|i)|can (?:i|it|you|that|this)|"
    r"should i|is (?:it|a|this|that|"
    r"there)|what|how|would|are (?:these|you|they|those)|does|did you|will|have you|why (?:do|would|are) you)\b"
)


class Statements:
    """Finds statements by a lexicon."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._list = lexicon.phrases

    def read(self, spoken: Spoken, asked: Iterable[str] = (), inquired: bool = False) -> tuple[Statement, ...]:
        """All statements in the order of the reply.

        ``asked``: findings of the question, which "it" may mean. ``inquired``: the question takes them as there and
        asks how they are.
        """
        text = self._list("idioms").mask(spoken.text)
        denials = self._list("not_negations").mask(text, "+")
        asked = tuple(asked)
        silent = OF_MEDICINE.isdisjoint(asked) and not self._list("medicine_words").search(text)
        found = [
            statement
            for name in self._lexicon.findings
            if not (silent and name in OF_MEDICINE)
            for start, end, present in self._mentions(name, text)
            for statement in self._judge(spoken, text, denials, name, start, end, present)
        ]
        found = self._without_lesser(spoken, _without_general_pain(found))
        found.sort(key=lambda each: (each.start, each.end))
        return tuple(self._resolve_pronouns(spoken, denials, found, asked, inquired))

    def completed(self, spoken: Spoken, about: Iterable[str]) -> tuple[Statement, ...]:
        """What bare answers state once the question's subject stands before them: "[my nose is] running like a tap"."""
        found: list[Statement] = []
        for name in about:
            finding = self._lexicon.findings[name]
            for clause in spoken.clauses[:_COMPLETED] if finding.lead else ():
                words = _BARE.sub("", spoken.text[clause.start : clause.end])
                if not words or len(words.split()) > _BARE_WORDS or clause.mark == "?" or _OWN_SUBJECT.match(words):
                    continue
                found += [
                    replace(each, start=clause.start, end=clause.end)
                    for each in self.read(Spoken.of(f"{finding.lead} {words}"))
                    if each.id in (name, finding.opposite)
                ]
        return tuple(found)

    def _mentions(self, name: str, text: str) -> Iterator[tuple[int, int, bool]]:
        phrases = self._lexicon.findings[name]
        absent = [(match.start(), match.end()) for match in phrases.absent.finditer(text)]
        present = [(match.start(), match.end()) for match in phrases.present.finditer(text)]
        for start, end in present:
            if not any(low < end and start < high and high - low >= end - start for low, high in absent):
                yield start, end, True
        for start, end in absent:
            if not any(low < end and start < high and high - low > end - start for low, high in present):
                yield start, end, False

    def _judge(
        self, spoken: Spoken, text: str, denials: str, name: str, start: int, end: int, present: bool
    ) -> Iterator[Statement]:
        clause = spoken.clause_at(start)
        if self._of_others(spoken, text, clause, start, end) or self._supposed(text, clause, start):
            return
        stop = max(end, clause.end)
        if name in OF_MEDICINE and is_other_taking(self._list, text[clause.start : stop]):
            return
        if clause.mark == "?" and (_QUESTION.match(text, clause.start) or _ECHO.fullmatch(text[clause.start : stop])):
            return
        after = denials[end:stop]
        value = present
        if self._denied_within(name, text[start:end], present):
            value = not value
        if not present and _PARTICLE.fullmatch(denials, clause.start, start):
            clause = replace(clause, start=start)
        reach = clause if present else replace(clause, start=max(clause.start, _words_back(denials, start, _NEAR)))
        if self.denied(spoken, denials, reach, start) or _DENIED_AFTER.fullmatch(after):
            value = not value
        elif present and value and self._is_over(denials, clause, start, end, stop):
            value = False
        kind = self._lexicon.findings[name].kind
        unsure = bool(self._list("unsure").search(text, clause.start, stop))
        when = self._when(spoken, text, clause, kind, value)
        yield Statement(name, Ternary.YES if value else Ternary.NO, start, end, when, unsure)

    def _denied_within(self, name: str, words: str, present: bool) -> bool:
        """Whether a negation stands in a gap of the phrase: "my nose is not running", but not "can not smell"."""
        hidden = self._list("denials_within").mask(words)
        if hidden == words:
            return False
        phrases = self._lexicon.findings[name]
        again = (phrases.present if present else phrases.absent).search(hidden)
        return again is not None and again.end() == len(words) and again.start() == 0

    def denied(self, spoken: Spoken, denials: str, clause: Clause, start: int) -> bool:
        """Whether a negation reaches the words at ``start``, in their clause or from the head of a list."""
        begin = clause.start
        cues = list(self._list("negations").finditer(denials, begin, start))
        if not cues:
            return self._in_denied_list(spoken, denials, clause, start)
        last = cues[-1]
        if self._list("breakers").search(denials, last.end(), start):
            return False
        if self._list("for_breaker").search(denials, max(begin, last.start() - 6), start):
            return False
        twice = len(cues) > 1 and (last[0] == "without") != (cues[-2][0] == "without")
        return not twice

    def _in_denied_list(self, spoken: Spoken, denials: str, clause: Clause, start: int) -> bool:
        """ "No cough, fever, chills": a bare noun after a comma keeps the negation of what stands before."""
        for before in reversed([each for each in spoken.clauses if each.end < start]):
            own = denials[clause.start : clause.end]
            if len(own.split()) > _WORDS_OF_A_LIST or _LIST_VERB.search(own) or before.mark != ",":
                return False
            if self._list("breakers").search(own) or own.startswith(("but ", "yes ")):
                return False
            words = denials[before.start : before.end]
            cue = self._list("negations").search(words)
            if cue is not None and cue.end() < len(words):
                return not self._list("breakers").search(words, cue.end())
            clause = before
        return False

    def _is_over(self, denials: str, clause: Clause, start: int, end: int, stop: int) -> bool:
        over = self._list("over").search(denials, end, stop)
        if over is not None and not self._list("negations").search(denials, end, over.start()):
            return not re.search(r"\b(?:but|still)\b", denials[over.end() : stop])
        return bool(self._list("over_before").search(denials, clause.start, start))

    def _of_others(self, spoken: Spoken, text: str, clause: Clause, start: int, end: int) -> bool:
        if _FIRST_PERSON.search(text, start, end):
            return False
        others = max((each.end() for each in self._list("others").finditer(text, clause.start, start)), default=-1)
        selves = max((each.end() for each in self._list("selves").finditer(text, clause.start, start + 2)), default=-1)
        if others >= 0 or selves >= 0:
            return others >= selves
        before = [each for each in spoken.clauses if each.end < clause.start and each.sentence == clause.sentence]
        if not before or not _THIRD_PERSON_VERB.match(text, clause.start):
            return False
        previous = before[-1]
        return bool(self._list("others").search(text, previous.start, previous.end)) and not self._list(
            "selves"
        ).search(self._list("others").mask(text[previous.start : previous.end]))

    def _supposed(self, text: str, clause: Clause, start: int) -> bool:
        return bool(self._list("hypothetical").search(text, clause.start, start))

    def _when(self, spoken: Spoken, text: str, clause: Clause, kind: FindingKind, value: bool) -> When:
        begin, end = clause.start, clause.end
        following = [each for each in spoken.clauses if each.start > clause.start and each.sentence == clause.sentence]
        if following and len(text[following[0].start : following[0].end].split()) <= _AFTERTHOUGHT:
            end = following[0].end
        if self._list("past_far").search(text, begin, end):
            return When.NOW if self._list("still").search(text, begin, end) else When.FAR
        if kind is FindingKind.ACT and value and self._list("planned").search(text, begin, end):
            return When.PLANNED
        if self._list("past_near").search(text, begin, end):
            still = self._list("still").search(text, begin, end)
            if still and kind is not FindingKind.ACT:
                return When.NOW
            return When.YESTERDAY if self._list("yesterday").search(text, begin, end) else When.NEAR
        return When.NOW

    def _resolve_pronouns(
        self, spoken: Spoken, denials: str, found: list[Statement], asked: tuple[str, ...], inquired: bool
    ) -> Iterator[Statement]:
        """Adds what clauses without a finding of their own say of the last one: "it's gone now", "still there"."""
        yield from found
        yield from self._ellipses(spoken, found)
        for clause in spoken.clauses:
            if any(clause.start <= each.start < clause.end for each in found if self._troubles(each)):
                continue
            before = [each for each in found if each.start < clause.start and each.value is Ternary.YES]
            words = denials[clause.start : clause.end]
            over = self._list("over").search(words)
            if inquired and not before and self._list("lingering").search(words) and spoken.clause_at(0) == clause:
                yield from (
                    Statement(name, Ternary.YES, clause.start, clause.end)
                    for name in asked
                    if over is None and self._lexicon.findings[name].kind is FindingKind.SYMPTOM
                )
            if over is None or self._list("negations").search(words, 0, over.start()):
                continue
            bare = over.start() <= 1 or words[: over.start()].split()[-1:] in (
                ["all"],
                ["now"],
                ["is"],
                ["has"],
                ["have"],
            )
            if not (_ANAPHOR.match(words) or bare) or self._list("others").search(words.replace("they ", "")):
                continue
            targets = [before[-1].id] if before else list(asked)
            for name in targets:
                kind = self._lexicon.findings[name].kind
                if kind is FindingKind.SYMPTOM:
                    yield Statement(name, Ternary.NO, clause.start, clause.end)

    def _troubles(self, statement: Statement) -> bool:
        return self._lexicon.findings[statement.id].kind in (FindingKind.SYMPTOM, FindingKind.EVENT)

    def _without_lesser(self, spoken: Spoken, found: list[Statement]) -> list[Statement]:
        """Nausea without vomiting is nausea still."""
        there = {each.id for each in found if each.value is Ternary.YES}
        return [
            each
            for each in found
            if each.value is Ternary.YES
            or each.id not in there
            or not self._list("lesser").fullmatch(spoken.text[each.start : each.end])
        ]

    def _ellipses(self, spoken: Spoken, found: list[Statement]) -> Iterator[Statement]:
        """ "My husband has a fever but I haven't": the other's finding, said of oneself."""
        others = self._list("others")
        for clause in spoken.clauses[1:]:
            words = spoken.text[clause.start : clause.end]
            denies = self._list("ellipsis_no").fullmatch(words)
            if not denies and not self._list("ellipsis_yes").fullmatch(words):
                continue
            for name, phrases in self._lexicon.findings.items():
                if phrases.kind is not FindingKind.SYMPTOM or any(each.id == name for each in found):
                    continue
                mention = phrases.present.search(spoken.text, 0, clause.start)
                if mention and others.search(spoken.text, 0, mention.start()):
                    yield Statement(name, Ternary.NO if denies else Ternary.YES, clause.start, clause.end)


def is_other_taking(phrases: Callable[[str], Phrases], words: str) -> bool:
    """Whether what is taken or missed is no medicine: "take a walk every morning"."""
    return bool(phrases("other_taking").search(words)) and not phrases("medicine_words").search(words)


def _words_back(text: str, offset: int, words: int) -> int:
    for _ in range(words):
        offset = max(text.rfind(" ", 0, max(offset - 1, 0)) + 1, 0)
    return offset


def _without_general_pain(found: list[Statement]) -> list[Statement]:
    specific = [each for each in found if each.id in _SPECIFIC_PAINS]
    return [
        each
        for each in found
        if each.id != "pain" or not any(other.start < each.end and each.start < other.end for other in specific)
    ]


def latest(statements: Iterable[Statement]) -> dict[str, Statement]:
    """The last word on each finding; what is said of now outranks what is said of another time."""
    last: dict[str, Statement] = {}
    for each in statements:
        if each.unsure or each.when is When.PLANNED:
            continue
        known = last.get(each.id)
        if known is None or each.when is When.NOW or known.when is not When.NOW:
            last[each.id] = replace(each)
    return last
