"""Bounds: what the agent may not say. Every free sentence passes here before it is spoken.

The vocabulary is data: ``dialogs/bounds.<language>.yaml`` lists rules, each a class of violation with patterns of the
sentence and of what was said before it. A rule fires when one of its ``say`` patterns stands in a sentence and nothing
excuses it. The checks lean to refusing: a vetted phrase is spoken instead, so a refusal costs little.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from carecall.dialog.definition import Feeling
from carecall.domain.language import Language
from carecall.domain.turn import Speaker
from carecall.errors import CareCallError
from carecall.settings import settings


class BoundsClass(StrEnum):
    """What is wrong with a sentence."""

    SENSES = "senses"  # weather or sights as if it were there
    BODY = "body"  # a body, meals, a home or presence of its own
    PROMISE = "promise"  # visits, deliveries, bookings, an ambulance
    DIAGNOSIS = "diagnosis"
    MEDICINE = "medicine"  # advice on medicines or doses
    REASSURANCE = "reassurance"  # against what was said, or relief after bad news
    FALSE_MEMORY = "false_memory"  # recalls what was never said
    ASKS_ADVICE = "asks_advice"
    ASKS_PRIVATE = "asks_private"  # money, identity or account numbers
    RUDE = "rude"
    ADVERTISING = "advertising"
    POLITICS_RELIGION = "politics_religion"
    FORCED_YES_NO = "forced_yes_no"
    OTHER_PEOPLE = "other_people"  # their private matters


@dataclass(frozen=True, slots=True)
class Violation:
    """Why a sentence may not be spoken."""

    kind: BoundsClass
    quote: str  # the words at fault, as they stand in the sentence (NFKC)


@dataclass(frozen=True, slots=True)
class _Rule:
    kind: BoundsClass
    say: re.Pattern[str]
    unless: re.Pattern[str] | None  # in the sentence: excuses it
    unless_said: re.Pattern[str] | None  # in the recipient's words: excuses it
    echo: re.Pattern[str] | None  # excused when all of its matches in the sentence were said by the recipient
    after_trouble: bool  # only in reply to bad news
    needs_source: bool  # excused when what it recalls stands in the talk so far


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    rules: tuple[_Rule, ...]
    sentence_end: re.Pattern[str]
    clause_end: re.Pattern[str]
    trouble: re.Pattern[str]  # bad news in the recipient's words
    no_trouble: re.Pattern[str]  # phrases in which a word of trouble is denied
    relieved: re.Pattern[str]  # takes back the trouble before it
    word: re.Pattern[str]  # group 1: the part of a content word that is compared
    stop: re.Pattern[str]  # words that carry no content, matched whole
    earlier: re.Pattern[str]  # speaks of an earlier call


def check(
    sentence: str,
    context: Sequence[tuple[Speaker, str]],
    language: Language,
    *,
    feeling: Feeling = Feeling.NEUTRAL,
) -> Violation | None:
    """Why the agent may not say this now; None when it may.

    ``context``: the talk so far, oldest first. ``feeling``: how the recipient's last words are to be met, as far as the
    understanding tells; BAD makes relief a violation whatever the words, GOOD allows it. Takes any text; p95 under 5 ms.
    Raises CareCallError when the vocabulary cannot be read.
    """
    vocabulary = vocabulary_for(language)
    before = _Before(context, vocabulary, feeling)
    for part in vocabulary.sentence_end.split(_normal(sentence)):
        for rule in vocabulary.rules:
            if (found := rule.say.search(part)) and not before.excuses(rule, part):
                return Violation(rule.kind, found.group(0).strip())
    return None


class _Before:
    """The talk so far, as the rules ask about it."""

    def __init__(self, context: Sequence[tuple[Speaker, str]], vocabulary: _Vocabulary, feeling: Feeling) -> None:
        self._turns = [(speaker, _normal(text)) for speaker, text in context]
        self._heard = [text for speaker, text in self._turns if speaker is Speaker.RECIPIENT]
        self._last = self._heard[-1] if self._heard else ""
        self._vocabulary = vocabulary
        self._feeling = feeling

    def excuses(self, rule: _Rule, sentence: str) -> bool:
        if rule.unless and rule.unless.search(sentence):
            return True
        if rule.unless_said and any(rule.unless_said.search(text) for text in self._heard):
            return True
        if rule.echo and self._echoes(rule.echo, sentence):
            return True
        if rule.after_trouble and not self._trouble(sentence):
            return True
        return rule.needs_source and self._has_source(sentence)

    def _echoes(self, pattern: re.Pattern[str], sentence: str) -> bool:
        named = {_key(match) for match in pattern.finditer(sentence)}
        heard = {_key(match) for text in self._heard for match in pattern.finditer(text)}
        return bool(named) and named <= heard

    def _trouble(self, sentence: str) -> bool:
        """Whether the last words are bad news, and not of a part of them that the sentence leaves aside."""
        if self._feeling is not Feeling.NEUTRAL:
            return self._feeling is Feeling.BAD
        bad: list[str] = []
        good: list[str] = []
        for clause in filter(None, self._vocabulary.clause_end.split(self._last)):
            if self._vocabulary.trouble.search(self._vocabulary.no_trouble.sub(" ", clause)):
                bad.append(clause)
            elif self._vocabulary.relieved.search(clause):
                bad.clear()
            else:
                good.append(clause)
        if not bad:
            return False
        words = self._content(sentence)
        return not (words & self._content(" ".join(good)) and not words & self._content(" ".join(bad)))

    def _has_source(self, sentence: str) -> bool:
        """Whether what the sentence recalls stands in the talk: in any words of the recipient's, or, for an earlier
        call, in a turn that speaks of that call."""
        words = self._content(sentence)
        earlier = self._vocabulary.earlier
        sources = [text for _, text in self._turns if earlier.search(text)] if earlier.search(sentence) else self._heard
        return any(words & self._content(text) for text in sources) or (bool(sources) and not words)

    def _content(self, text: str) -> set[str]:
        """The content words of a text, in the form in which they are compared."""
        return {
            match.group(1).lower()
            for match in self._vocabulary.word.finditer(text)
            if not self._vocabulary.stop.fullmatch(match.group(0))
        }


def _key(match: re.Match[str]) -> str:
    """A word in the form that is compared: the named group ``as_`` when there is one, else its beginning."""
    return match.group(0).lower()[:4]


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text).replace("’", "'").replace("‘", "'")


@cache
def vocabulary_for(language: Language) -> _Vocabulary:
    """The language's checks, compiled once. Raises CareCallError."""
    return _read(settings().dialogs_dir / f"bounds.{language}.yaml")


def _read(path: Path) -> _Vocabulary:
    try:
        data = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
        sets: dict[str, str] = {}
        for name, words in data["sets"].items():
            sets[name] = f"(?:{'|'.join(_filled(word, sets) for word in words)})"
        patterns = {name: _pattern(data[name], sets) for name in _PATTERNS}
        return _Vocabulary(rules=tuple(_rule(each, sets) for each in data["rules"]), **patterns)
    except (OSError, YAMLError, KeyError, TypeError, ValueError, re.error) as error:
        raise CareCallError(f"{path.name} cannot be used: {error}") from error


_PATTERNS = (
    "sentence_end",
    "clause_end",
    "trouble",
    "no_trouble",
    "relieved",
    "word",
    "stop",
    "earlier",
)


def _rule(data: Mapping[str, Any], sets: Mapping[str, str]) -> _Rule:
    def optional(name: str) -> re.Pattern[str] | None:
        return _pattern(data[name], sets) if name in data else None

    return _Rule(
        kind=BoundsClass(data["kind"]),
        say=_pattern(data["say"], sets),
        unless=optional("unless"),
        unless_said=optional("unless_said"),
        echo=optional("echo"),
        after_trouble=data.get("after_trouble", False),
        needs_source=data.get("needs_source", False),
    )


def _pattern(alternatives: str | Sequence[str], sets: Mapping[str, str]) -> re.Pattern[str]:
    listed = [alternatives] if isinstance(alternatives, str) else alternatives
    return re.compile("|".join(_filled(each, sets) for each in listed), re.IGNORECASE)


def _filled(pattern: str, sets: Mapping[str, str]) -> str:
    """The pattern with <name> replaced by the set of that name. Raises KeyError for a set that is not there."""
    return re.sub(r"(?<!\?)(?<!\?P)<([a-z_]+)>", lambda match: sets[match.group(1)], pattern)
