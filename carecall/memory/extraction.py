"""What a call says that is worth remembering: short third-person sentences, each with the turn it was said in.

Only the recipient's own statements count: set phrases of the vocabulary, and clauses of a known topic that can be put
into the third person. Questions, wishes, guesses and the past of long ago are left alone.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from carecall.domain.finding import Finding, Ternary
from carecall.domain.language import Language
from carecall.domain.turn import Speaker, Turn
from carecall.memory import english_words, korean_words
from carecall.memory.memory import Topic
from carecall.memory.vocabulary import Vocabulary, vocabulary_for

_MOST_WORDS = 12  # of a sentence
_MOST_SENTENCES = 12  # of a call
_CLAUSE_END = re.compile(r"[.!,;…]+|\b(?:but|and|because|since|so)\b|(?<=지만) |(?<=[는은]데) ", re.IGNORECASE)
_NEXT_STATEMENT = re.compile(r" (?=(?:I|we)(?:'\w+)? )", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Extracted:
    """One sentence worth remembering."""

    text: str
    topic: Topic
    source_turn: int  # index of the recipient's turn


def extract(turns: Sequence[Turn], language: Language, findings: Sequence[Finding] = ()) -> tuple[Extracted, ...]:
    """The sentences of a call, in the order they were said, without repeats. Safe for any text.

    ``findings``: what the call found out; a yes whose code the vocabulary words becomes a sentence too, with the turn
    of its evidence.
    """
    vocabulary = vocabulary_for(language)
    found: dict[str, Extracted] = {}
    for turn in turns:
        if turn.speaker is not Speaker.RECIPIENT:
            continue
        for text in _sentences(turn.text, vocabulary, language):
            topic = topic_of(text, language)
            if topic is not Topic.OTHER and len(text.split()) <= _MOST_WORDS:
                found.setdefault(text, Extracted(text, topic, turn.index))
    for finding in findings:
        worded = vocabulary.findings.get(finding.code)
        if worded and finding.value is Ternary.YES and finding.evidence:
            found.setdefault(worded, Extracted(worded, topic_of(worded, language), finding.evidence[0].turn))
    return tuple(found.values())[:_MOST_SENTENCES]


def topic_of(text: str, language: Language) -> Topic:
    """The topic of a sentence, OTHER when it has no word of any."""
    for name, pattern in vocabulary_for(language).topics:
        if pattern.search(text.lower()):
            return name
    return Topic.OTHER


def is_chronic(text: str, language: Language) -> bool:
    """Whether the sentence is of a lasting condition or a loss."""
    return bool(vocabulary_for(language).chronic.search(text.lower()))


def _sentences(reply: str, vocabulary: Vocabulary, language: Language) -> Iterator[str]:
    for clause in filter(str.strip, _CLAUSE_END.split(reply.replace("’", "'"))):
        if vocabulary.unsaid.search(clause.lower()):
            continue
        if phrase := _set_phrase(clause, vocabulary):
            yield phrase
            continue
        plain = " ".join(vocabulary.fillers.sub(" ", clause).split())
        if language is Language.KOREAN:
            yield from korean_words.told(plain)
        else:
            yield from filter(None, map(english_words.third_person, _NEXT_STATEMENT.split(plain)))


def _set_phrase(clause: str, vocabulary: Vocabulary) -> str | None:
    for pattern, text in vocabulary.said:
        match = pattern.search(clause)
        if match and not vocabulary.denied.search(f"{clause[: match.start()]} {clause[match.end() :]}".lower()):
            return text.format(*match.groups())
    return None
