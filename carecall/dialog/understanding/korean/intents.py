"""What a Korean reply does: answers, asks back, wants to leave, chats."""

from collections.abc import Sequence

from kiwipiepy import Token

from carecall.dialog.understanding.lexicon import Lexicon
from carecall.dialog.understanding.meaning import Intent

_ORDER = (
    Intent.STOP_CALLING,
    Intent.WRONG_PERSON,
    Intent.WANTS_HUMAN,
    Intent.WHO_IS_THIS,
    Intent.CALL_LATER,
    Intent.WAIT_REQUEST,
    Intent.REPEAT_REQUEST,
    Intent.MEDICAL_QUESTION,
    Intent.SERVICE_REQUEST,
    Intent.OUT_OF_SCOPE_QUESTION,
    Intent.GOODBYE,
)


def named_intent(text: str, lexicon: Lexicon) -> tuple[Intent, str] | None:
    """The intent that a set phrase of the reply gives away, and the phrase."""
    for intent in _ORDER:
        phrases = lexicon.intents.get(intent)
        if phrases is not None and (match := phrases.search(text)):
            return intent, match.group(0)
    return None


def intelligible(tokens: Sequence[Token]) -> bool:
    """Whether the words hang together: a predicate with an ending, or a bare noun or interjection."""
    words = [token for token in tokens if token.tag[0] not in "SW"]
    if not words:
        return False
    ends = any(token.tag in ("EF", "EC") for token in words)
    predicates = any(token.tag[:2] in ("VV", "VA", "VX", "VC", "XS") for token in words)
    return ends and predicates


def intent_of(text: str, tokens: Sequence[Token], lexicon: Lexicon, *, answers: bool, on_topic: bool) -> Intent:
    """The intent. ``answers``: the reply gives a value; ``on_topic``: it states something of the person's health."""
    named = named_intent(text, lexicon)
    if named is not None:
        return named[0]
    if answers or on_topic:
        return Intent.ANSWER
    small_talk = lexicon.intents.get(Intent.SMALL_TALK)
    if small_talk is not None and small_talk.search(text):
        return Intent.SMALL_TALK
    if not intelligible(tokens):
        return Intent.UNCLEAR
    return Intent.SMALL_TALK
