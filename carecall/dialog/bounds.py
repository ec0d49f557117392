"""Bounds: what the agent may not say. Every free sentence passes here before it is spoken.

The vocabulary is data: ``dialogs/bounds.<language>.yaml`` lists rules, each a class of violation with patterns of the
sentence and of what was said before it. A rule fires when one of its ``say`` patterns stands in a sentence and nothing
excuses it. The checks lean to refusing: a vetted phrase is spoken instead, so a refusal costs little.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from re import Match

from pydantic import BaseModel, ConfigDict, Field

from carecall.dialog.definition import Feeling
from carecall.dialog.understanding.lexicon import Phrases, VocabularyFile, compile_phrases, read_vocabulary
from carecall.domain.language import Language
from carecall.domain.turn import Speaker
from carecall.settings import settings

_LATIN_KEY, _HANGUL_KEY = 4, 2  # letters of a word by which it is known again
_FOREIGN = 2  # content words neither heard before nor of kindness, from which a sentence is of something else
_MOST_READ = 2000  # characters of a text that are looked at; the agent's sentences are far shorter


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
    JUDGEMENT = "judgement"  # of health, habits or people, where listening was wanted
    UNFOUNDED = "unfounded"  # brings in what nobody spoke of


@dataclass(frozen=True, slots=True)
class Violation:
    """Why a sentence may not be spoken."""

    kind: BoundsClass
    quote: str  # the words at fault, as they stand in the sentence (NFKC)


class _RuleEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: BoundsClass
    say: list[str] = Field(min_length=1)
    unless: list[str] = []
    unless_said: list[str] = []
    echo: list[str] = []
    after_trouble: bool = False
    needs_source: bool = False


class _BoundsFile(VocabularyFile):
    sentence_end: list[str]
    clause_end: list[str]
    word: list[str]
    stop: list[str]
    earlier: list[str]
    kindness: list[str]
    trouble: list[str]
    no_trouble: list[str]
    relieved: list[str]
    rules: list[_RuleEntry] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class _Rule:
    kind: BoundsClass
    say: Phrases
    unless: Phrases  # in the sentence: excuses it
    unless_said: Phrases  # in the recipient's words: excuses it
    echo: Phrases  # excuses it when all of its matches in the sentence were said by the recipient
    after_trouble: bool  # only in reply to bad news
    needs_source: bool  # excused when what it recalls stands in the talk so far


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    rules: tuple[_Rule, ...]
    sentence_end: Phrases
    clause_end: Phrases
    trouble: Phrases  # bad news in the recipient's words
    no_trouble: Phrases  # phrases in which a word of trouble is denied
    relieved: Phrases  # takes back the trouble before it
    word: Phrases  # group 1: the part of a content word that is compared
    stop: Phrases  # words that carry no content, matched whole
    earlier: Phrases  # speaks of an earlier call
    kindness: Phrases  # content words of kindness, of the call and of declining, matched whole


def check(
    sentence: str,
    context: Sequence[tuple[Speaker, str]],
    language: Language,
    *,
    feeling: Feeling = Feeling.NEUTRAL,
) -> Violation | None:
    """Why the agent may not say this now; None when it may.

    ``context``: the talk so far, oldest first. ``feeling``: how the recipient's last words are to be met, as far as the
    understanding tells; BAD makes relief a violation whatever the words, GOOD allows it. Safe for any text; p95 under
    5 ms. Raises VocabularyError when the vocabulary itself is wrong.
    """
    vocabulary = vocabulary_for(language)
    before = _Before(context, vocabulary, feeling)
    for part in _pieces(vocabulary.sentence_end, _normal(sentence)):
        for rule in vocabulary.rules:
            if (found := rule.say.search(part)) and not before.excuses(rule, part):
                return Violation(rule.kind, found.group(0).strip())
        if len(foreign := before.foreign_to(part)) >= _FOREIGN:
            return Violation(BoundsClass.UNFOUNDED, foreign[0])
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
        if rule.unless.search(sentence) or any(rule.unless_said.search(text) for text in self._heard):
            return True
        if self._echoes(rule.echo, sentence):
            return True
        if rule.after_trouble and not self._trouble(sentence):
            return True
        return rule.needs_source and self._has_source(sentence)

    def foreign_to(self, sentence: str) -> list[str]:
        """The content words of the sentence that nobody has said and that are not of kindness."""
        known = set[str]().union(*(self._content(text) for _, text in self._turns))
        words = {match.group(1).lower(): match.group(0) for match in self._words(sentence)}
        return [
            word for key, word in words.items() if key not in known and not self._vocabulary.kindness.fullmatch(word)
        ]

    def _echoes(self, pattern: Phrases, sentence: str) -> bool:
        named = {_key(match) for match in pattern.finditer(sentence)}
        heard = {_key(match) for text in self._heard for match in pattern.finditer(text)}
        return bool(named) and all(
            any(each.startswith(said) or said.startswith(each) for said in heard) for each in named
        )

    def _trouble(self, sentence: str) -> bool:
        """Whether the last words are bad news, and not of a part of them that the sentence leaves aside."""
        if self._feeling is not Feeling.NEUTRAL:
            return self._feeling is Feeling.BAD
        bad: list[str] = []
        good: list[str] = []
        for clause in _pieces(self._vocabulary.clause_end, self._last):
            if self._vocabulary.trouble.search(" ".join(_pieces(self._vocabulary.no_trouble, clause))):
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
        """Whether what the sentence recalls stands in the talk: in any words of the recipient's, or, of an earlier
        call, in a turn that speaks of that call. What recipients say they told before is taken as told."""
        words = self._content(sentence)
        earlier = self._vocabulary.earlier
        if not earlier.search(sentence):
            sources = self._heard
        elif any(earlier.search(text) for text in self._heard):
            return True
        else:
            sources = [text for _, text in self._turns if earlier.search(text)]
        return any(words & self._content(text) for text in sources) or (bool(sources) and not words)

    def _content(self, text: str) -> set[str]:
        """The content words of a text, in the form in which they are compared."""
        return {match.group(1).lower() for match in self._words(text)}

    def _words(self, text: str) -> Iterator[Match[str]]:
        stop = self._vocabulary.stop
        return (match for match in self._vocabulary.word.finditer(text) if not stop.fullmatch(match.group(0)))


def _pieces(border: Phrases, text: str) -> list[str]:
    """What lies between the matches."""
    pieces: list[str] = []
    start = 0
    for match in border.finditer(text):
        pieces.append(text[start : match.start()])
        start = match.end()
    return [piece for piece in (*pieces, text[start:]) if piece.strip()]


def _key(match: Match[str]) -> str:
    """The beginning of a word, so that its inflections are alike: four letters, or a syllable of Hangul and a half."""
    word = match.group(0).lower()
    if "가" <= word[0] <= "힣":
        return unicodedata.normalize("NFD", word.split()[0])[:_HANGUL_KEY]
    return word[:_LATIN_KEY]


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text[:_MOST_READ]).replace("’", "'").replace("‘", "'")


@cache
def vocabulary_for(language: Language) -> _Vocabulary:
    """The language's checks, compiled once. Raises VocabularyError."""
    path = settings().dialogs_dir / f"bounds.{language}.yaml"
    file = read_vocabulary(path, language, _BoundsFile)

    def phrases(where: str, expressions: Sequence[str]) -> Phrases:
        return compile_phrases(path, where, expressions, file)

    def rule(number: int, entry: _RuleEntry) -> _Rule:
        where = f"rules.{number}"
        return _Rule(
            kind=entry.kind,
            say=phrases(f"{where}.say", entry.say),
            unless=phrases(f"{where}.unless", entry.unless),
            unless_said=phrases(f"{where}.unless_said", entry.unless_said),
            echo=phrases(f"{where}.echo", entry.echo),
            after_trouble=entry.after_trouble,
            needs_source=entry.needs_source,
        )

    return _Vocabulary(
        rules=tuple(rule(number, entry) for number, entry in enumerate(file.rules)),
        sentence_end=phrases("sentence_end", file.sentence_end),
        clause_end=phrases("clause_end", file.clause_end),
        trouble=phrases("trouble", file.trouble),
        no_trouble=phrases("no_trouble", file.no_trouble),
        relieved=phrases("relieved", file.relieved),
        word=phrases("word", file.word),
        stop=phrases("stop", file.stop),
        earlier=phrases("earlier", file.earlier),
        kindness=phrases("kindness", file.kindness),
    )
