"""What becomes of a new sentence: known already, in place of an old one, added, or the end of an old one.

After Bae et al., "Keep Me Updated! Memory Management in Long-term Conversations", Findings of EMNLP 2022.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from carecall.domain.language import Language
from carecall.memory.sense import Sense, Tone, sense

_LACKING = "lacking"  # the trouble of not being able to, or not having
_ALIKE, _OTHER_VALUE = 0.1, 0.7
_MOSTLY = 0.5  # shared part of what two sentences are about, from which they are about the same


class Operation(StrEnum):
    PASS = "pass"  # known already; the stored sentence stays
    REPLACE = "replace"  # takes the place of an outdated sentence
    APPEND = "append"  # not known before
    DELETE = "delete"  # only says that a stored sentence is over: that one goes, the new one is not stored


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done about one new sentence."""

    new: str
    operation: Operation
    stored: tuple[str, ...] = ()  # the stored sentences it is about


@dataclass(frozen=True, slots=True)
class Update:
    """What is done about a call's new sentences, and the memory after it."""

    decisions: tuple[Decision, ...]  # in the order of the new sentences
    sentences: tuple[str, ...]  # each word for word a stored or a new one


def update(stored: Sequence[str], new: Sequence[str], language: Language) -> Update:
    """Compare each new sentence with the stored ones and with the new ones before it. Pure."""
    kept = [sense(text, language) for text in dict.fromkeys(stored)]
    decisions: list[Decision] = []
    for text in dict.fromkeys(new):
        fresh = sense(text, language)
        decision = _decide(fresh, kept)
        decisions.append(decision)
        gone = decision.stored if decision.operation in (Operation.REPLACE, Operation.DELETE) else ()
        kept = [each for each in kept if each.text not in gone]
        if decision.operation in (Operation.REPLACE, Operation.APPEND):
            kept.append(fresh)
    return Update(tuple(decisions), tuple(each.text for each in kept))


def _decide(new: Sense, stored: Sequence[Sense]) -> Decision:
    ranked = sorted(stored, key=lambda old: _closeness(new, old), reverse=True)
    for old in ranked:
        operation = _compare(new, old)
        if operation is not None:
            return Decision(new.text, operation, (old.text,))
    if new.tone is Tone.ENDED and not new.subjects:
        over = [old for old in stored if old.troubles & new.troubles and old.tone is Tone.TROUBLE]
        if len(over) == 1:
            return Decision(new.text, Operation.DELETE, (over[0].text,))
    return Decision(new.text, Operation.APPEND)


def _closeness(new: Sense, old: Sense) -> float:
    """How much of what the two are about is the same, 0 to 1; more for the same values, most for other values of it."""
    together = new.subjects | old.subjects
    shared = len(new.subjects & (old.subjects | old.verbs)) / len(together) if together else 0.0
    alike = bool(new.values & old.values) + bool(new.troubles & old.troubles)
    return shared + _ALIKE * alike + _OTHER_VALUE * (shared > 0 and new.differs(old))


def _compare(new: Sense, old: Sense) -> Operation | None:
    """What the new sentence does to the old one; None when they are about different things."""
    if new.text == old.text:
        return Operation.PASS
    shared = new.subjects & (old.subjects | old.verbs if new.tone is Tone.ENDED else old.subjects)
    if not shared or (shared <= new.persons and new.subjects > shared and old.subjects > shared):
        return None
    if new.tone is Tone.ENDED:
        if new.differs(old):
            return None
        return Operation.PASS if old.tone in (Tone.ENDED, Tone.HARDLY) else Operation.DELETE
    if new.tone is Tone.FINE and old.tone in (Tone.TROUBLE, Tone.HARDLY):
        return Operation.DELETE
    if old.planned and not new.planned:
        return Operation.REPLACE
    if _LACKING in old.troubles and new.tone is Tone.PLAIN and new.of_ability and not new.still:
        return Operation.REPLACE if new.values else Operation.DELETE
    if _LACKING in new.troubles and old.tone is Tone.PLAIN:
        return Operation.REPLACE
    if {new.tone, old.tone} in ({Tone.FINE, Tone.TROUBLE}, {Tone.HARDLY, Tone.PLAIN}) or old.tone is Tone.ENDED:
        return Operation.REPLACE
    return _same_or_newer(new, old)


def _same_or_newer(new: Sense, old: Sense) -> Operation | None:
    if new.troubles and old.troubles and not new.troubles & old.troubles:
        return None
    if new.planned and not old.planned:
        return None
    shared = len(new.subjects & old.subjects)
    more, less = new.subjects - old.subjects, old.subjects - new.subjects
    if more and less and new.single & old.single and new.persons == old.persons:
        return Operation.REPLACE
    if more and (less or new.tone is not Tone.TROUBLE) and shared / (shared + len(more) + len(less)) < _MOSTLY:
        return None
    if new.differs(old) or (new.single & old.single and (more or less)):
        return Operation.REPLACE
    if new.still:
        return Operation.PASS
    if more:
        known = shared > len(more | less) and (bool(less) or bool(new.values & old.values))
        return Operation.PASS if known else None
    if new.adds_to(old) and not new.values & old.values:
        detailed = not old.values or (old.scheduled and new.scheduled)
        return Operation.REPLACE if detailed and new.tone is old.tone else None
    return Operation.PASS
