"""What is worth asking about again before a call: at most two things, recent, changeable, and not asked before."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from carecall.domain.language import Language
from carecall.memory import english_words, korean_words
from carecall.memory.memory import Memory, Topic
from carecall.memory.sense import Tone, sense
from carecall.memory.vocabulary import vocabulary_for

MOST_FOLLOW_UPS = 2
RECENT_DAYS = 45  # what was said longer ago is not brought up

# What is asked about, what a care worker most wants to know first.
_WORTH = (
    Topic.HEALTH,
    Topic.SLEEP,
    Topic.MEALS,
    Topic.MEDICATION,
    Topic.EXERCISE,
    Topic.FAMILY,
    Topic.OUTINGS,
    Topic.PETS,
)


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A remembered thing and the vetted question about it."""

    memory: Memory
    question: str


def follow_ups(memories: Sequence[Memory], today: datetime.date, language: Language) -> tuple[FollowUp, ...]:
    """The follow-ups of a call on this day, at most two and of different topics. Pure.

    Left out: lasting conditions, what is over or well, what was asked about once, what was said today or not in
    RECENT_DAYS.
    """
    chosen: list[Memory] = []
    for memory in sorted(memories, key=lambda each: (_rank(each), -each.created_on.toordinal(), each.id)):
        if _asked_about(memory, today, language) and memory.topic not in {each.topic for each in chosen}:
            chosen.append(memory)
    return tuple(FollowUp(memory, _question(memory, language)) for memory in chosen[:MOST_FOLLOW_UPS])


def _asked_about(memory: Memory, today: datetime.date, language: Language) -> bool:
    vocabulary = vocabulary_for(language)
    return (
        memory.topic in _WORTH
        and not memory.chronic
        and not vocabulary.chronic.search(memory.text.lower())
        and memory.followed_up_on is None
        and sense(memory.text, language).tone not in (Tone.ENDED, Tone.FINE)
        and 0 < (today - memory.created_on).days <= RECENT_DAYS
    )


def _rank(memory: Memory) -> int:
    return _WORTH.index(memory.topic) if memory.topic in _WORTH else len(_WORTH)


def _question(memory: Memory, language: Language) -> str:
    patterns = vocabulary_for(language).follow_ups[memory.topic]
    return patterns[sum(map(ord, memory.id)) % len(patterns)].replace("{memory}", _put_to_recipient(memory, language))


def _put_to_recipient(memory: Memory, language: Language) -> str:
    if language is Language.KOREAN:
        return korean_words.quoted(memory.text)
    return english_words.second_person(memory.text, named=memory.topic is Topic.PETS)
