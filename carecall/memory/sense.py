"""What a remembered sentence is about, as far as two of them can be compared. Vocabulary: ``dialogs/memory.*.yaml``."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from carecall.domain.language import Language
from carecall.memory import english_words, korean_words
from carecall.memory.vocabulary import vocabulary_for

_SCHEDULE = ("frequency", "weekday", "daypart", "clock")


class Tone(StrEnum):
    """How the thing a sentence is about stands."""

    ENDED = "ended"  # over, or not done
    FINE = "fine"
    TROUBLE = "trouble"
    HARDLY = "hardly"  # little or seldom
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Sense:
    """A sentence, taken apart."""

    text: str
    subjects: frozenset[str]  # what it is about
    values: frozenset[tuple[str, str]]  # what it says of that: kind of value and value
    tone: Tone
    troubles: frozenset[str]  # kinds of trouble
    still: bool
    planned: bool
    of_ability: bool  # about something one can or cannot do: sleep, smell, see, hear
    single: frozenset[str]  # of the subjects, those of which there is one at a time
    persons: frozenset[str]  # of the subjects, those that are people
    verbs: frozenset[str]  # what is done; compared only where a sentence has no other subject

    @property
    def scheduled(self) -> bool:
        """Whether it says when or how often."""
        return any(kind in _SCHEDULE for kind, _ in self.values)

    def differs(self, other: "Sense") -> bool:
        """Whether both give a value of the same kind, and not the same one."""
        kinds = {kind for kind, _ in self.values} & {kind for kind, _ in other.values}
        return any(self._of(kind) != other._of(kind) for kind in kinds)

    def adds_to(self, other: "Sense") -> bool:
        """Whether it gives a value of a kind that the other has not."""
        return bool({kind for kind, _ in self.values} - {kind for kind, _ in other.values})

    def _of(self, kind: str) -> set[str]:
        return {value for each, value in self.values if each == kind}


def sense(text: str, language: Language) -> Sense:
    """Take a sentence apart. Safe for any text."""
    vocabulary = vocabulary_for(language)
    words = vocabulary.numbered(_normal(text))
    values, marks = _found(vocabulary.values, words)
    kinds, taken = _found(vocabulary.kinds, words)
    subjects = {kind for kind, _ in kinds}
    for name, pattern in vocabulary.concepts:
        for match in pattern.finditer(words):
            if not _overlaps(match.span(), taken):
                taken.append(match.span())
                subjects.add(name)
    troubles = {name for name, pattern in vocabulary.troubles if _mark(pattern, words, marks)}
    still = _mark(vocabulary.still, words, marks)
    planned = _mark(vocabulary.planned, words, marks)
    hardly = _mark(vocabulary.hardly, words, marks)
    person = bool(vocabulary.people.search(words))
    fine = _mark(vocabulary.fine, words, marks)
    ended = _mark(vocabulary.ended, words, marks) and not (person and vocabulary.death.search(words))
    medicine = _mark(vocabulary.medicine, words, marks)
    verbs: set[str] = set()
    for stem, start, end, is_verb in _stems(words, language):
        if _overlaps((start, end), taken + marks) or vocabulary.stop.fullmatch(
            stem if language is Language.KOREAN else words[start:end]
        ):
            continue
        if stem.isdigit():
            values.add(("count", stem))
        else:
            (verbs if is_verb else subjects).add(stem)
    subjects = subjects or verbs
    if medicine:
        subjects = {f"medicine {each}" for each in subjects} or {"medicine"}
    return Sense(
        text=text,
        subjects=frozenset(subjects),
        values=frozenset(values | kinds),
        tone=_tone(ended, fine, bool(troubles), hardly, still),
        troubles=frozenset(troubles),
        still=still,
        planned=planned and not ended,
        of_ability=bool(subjects & vocabulary.abilities),
        single=frozenset(subjects & vocabulary.single),
        persons=frozenset(subjects & vocabulary.persons),
        verbs=frozenset(verbs),
    )


def _found(
    values: Sequence[tuple[str, str, re.Pattern[str]]], words: str
) -> tuple[set[tuple[str, str]], list[tuple[int, int]]]:
    """The values that are given, kind and value, and where."""
    found = set()
    taken: list[tuple[int, int]] = []
    for kind, value, pattern in values:
        for match in pattern.finditer(words):
            if not _overlaps(match.span(), taken):
                taken.append(match.span())
                found.add((kind, value.format(*filter(None, match.groups()))))
    return found, taken


def _tone(ended: bool, fine: bool, trouble: bool, hardly: bool, still: bool) -> Tone:
    if ended:
        return Tone.ENDED
    if hardly:
        return Tone.HARDLY
    if trouble:
        return Tone.TROUBLE
    return Tone.FINE if fine and not still else Tone.PLAIN


def _mark(pattern: re.Pattern[str], words: str, marks: list[tuple[int, int]]) -> bool:
    """Whether the pattern is there; where it is, no word is a subject."""
    spans = [match.span() for match in pattern.finditer(words)]
    marks.extend(spans)
    return bool(spans)


def _overlaps(span: tuple[int, int], taken: Sequence[tuple[int, int]]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in taken)


def _stems(words: str, language: Language) -> Iterator[tuple[str, int, int, bool]]:
    """Content words: stem, start and end, and whether it is a verb that only counts where nothing else does."""
    if language is Language.KOREAN:
        yield from korean_words.stems(words)
        return
    yield from english_words.stems(words)


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text).replace("’", "'").lower()
