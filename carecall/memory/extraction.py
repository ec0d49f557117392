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
_NAMED = {
    Language.ENGLISH: re.compile(r"\byour ((?:(?:left|right|lower|upper) )?[a-z]+)\b"),
    Language.KOREAN: re.compile(r"(?<![가-힣])([가-힣]{1,3})(?:[은는이가]|도)(?= )"),
}
_BARE = {
    Language.ENGLISH: re.compile(
        r"(?:(?:yes|yeah|oh|well|no|and|but) )*(?:it )?"
        r"((?:still |always |really |just )*(?:hurts?|aches?|bothers me|throbs|is sore)"
        r"(?: (?:a bit|a lot|badly|still|at night|in the morning|when i \w+))*)",
        re.IGNORECASE,
    ),
    Language.KOREAN: re.compile(
        "(?:응|네|예|아이고)? ?(?:아직도?|여전히|계속|지금도|밤에는?|조금|많이|좀|더)? ?"
        "(?:아파|아프|쑤시|쑤셔|저리|저려|결리|결려|시큰)[가-힣]*"
    ),
}
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
    asked = None
    for turn in turns:
        if turn.speaker is not Speaker.RECIPIENT:
            asked = _asked_about(turn.text, language)
            continue
        for text in _sentences(turn.text, vocabulary, language, asked):
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


def _asked_about(question: str, language: Language) -> str | None:
    """What part of the recipient's health a question is about, where it names one alone."""
    named = {
        match.group(1)
        for match in _NAMED[language].finditer(question.lower())
        if topic_of(match.group(0), language) is Topic.HEALTH
    }
    return named.pop() if len(named) == 1 else None


def _completed(clause: str, language: Language, asked: str | None) -> str:
    """The clause with the subject that speech leaves out: the thing asked about, or the speaker."""
    if language is Language.KOREAN:
        return korean_words.of(asked, clause) if asked and _BARE[language].fullmatch(clause.strip()) else clause
    if asked and (bare := _BARE[language].fullmatch(clause.strip())):
        return f"my {asked} {bare.group(1)}"
    named = english_words.NOUN_FIRST.match(clause.strip())
    if named and topic_of(named.group(1), language) in (Topic.HEALTH, Topic.FAMILY, Topic.PETS):
        return f"my {named.group(1)}{named.group(2)}"
    return english_words.with_subject(clause.strip())


def _sentences(reply: str, vocabulary: Vocabulary, language: Language, asked: str | None = None) -> Iterator[str]:
    for part in filter(str.strip, _CLAUSE_END.split(reply.replace("’", "'"))):
        if vocabulary.unsaid.search(part.lower()):
            continue
        clause = _completed(part, language, asked)
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
