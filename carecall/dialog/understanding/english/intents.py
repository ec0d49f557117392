"""What an English reply does, beside answering."""

import re

from carecall.dialog.understanding.english.spoken import Spoken
from carecall.dialog.understanding.lexicon import Lexicon, Phrases
from carecall.dialog.understanding.meaning import Intent

# The first that fits is taken: what ends or stops the call before what goes on with it.
_ORDER = (
    Intent.STOP_CALLING,
    Intent.WRONG_PERSON,
    Intent.WANTS_HUMAN,
    Intent.WHO_IS_THIS,
    Intent.CALL_LATER,
    Intent.WAIT_REQUEST,
    Intent.REPEAT_REQUEST,
    Intent.SERVICE_REQUEST,
    Intent.MEDICAL_QUESTION,
    Intent.OUT_OF_SCOPE_QUESTION,
    Intent.GOODBYE,
    Intent.SMALL_TALK,
)
_OPEN_ASK = re.compile(
    r"\b(?:anything else|anything you|what else|how (?:have you|has your|are you|are things|is your)|hello)\b"
)
_SHORT = 6  # words; a longer reply to an open question that states no finding is chat
_OFFER = re.compile(r"\b(?:anything else|anything you|what else|hello there|how are things|how have you been)\b")
_NO = re.compile(r"(?:no|nope|nah)\b")
_IT_IS_ME = re.compile(
    r"(?:(?:yes|well|hello|oh) )*(?:speaking|(?:this|that|it) is (?:he|she|him|her|me|i|yes)|in person|i am)"
    r"(?: (?:dear|love|who is calling))?$"
)
_NOT_NOW = re.compile(r"(?:no |well )*not (?:right |just )?now(?: (?:thanks|thank you|dear|love))?")
_TIME = re.compile(r"\b(?:time|talk|chat|moment|minute|speak|speaking|questions?|hello)\b")
_ECHOED = re.compile(r"\b(i (?:do|did|have|am|can|could|will|would)) (i)\b")  # "I do, I have to": no "do I have to"
_WORD = re.compile(r"[a-z']+")


class Intents:
    """Finds what a reply does by the lexicon's lists."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon

    def acts(self, spoken: Spoken, ask: Spoken) -> Intent | None:
        """What the reply does, when it plainly does something else than answering."""
        text = _ECHOED.sub(r"\1 _ \2", spoken.text)
        identity = self._list("identity_asks").search(ask.text) is not None
        if identity and _IT_IS_ME.match(text):
            return Intent.ANSWER
        for intent in _ORDER:
            if self._of(intent).search(text) and not (
                intent is Intent.CALL_LATER and _NOT_NOW.fullmatch(text) and not _TIME.search(ask.text)
            ):
                return intent
            if intent is Intent.STOP_CALLING and self._bids_to_stop(spoken):
                return intent
            if intent is Intent.WRONG_PERSON and identity and self._list("wrong_person_asked").search(text):
                return intent
        if identity and _NO.match(text):
            return Intent.WRONG_PERSON
        if self._list("request_forms").search(text) and self._list("service_words").search(text):
            return Intent.SERVICE_REQUEST
        if spoken.question or self._list("question_forms").search(text):
            if self._list("medical_words").search(text):
                return Intent.MEDICAL_QUESTION
            if self._list("world_words").search(text):
                return Intent.OUT_OF_SCOPE_QUESTION
        return None

    def otherwise(self, spoken: Spoken, ask: Spoken, answers: bool, states: bool) -> Intent:
        """What the reply does, when it plainly does nothing else."""
        if answers or states:
            return Intent.ANSWER
        text = spoken.text.replace("you know", "")
        words = _WORD.findall(text)
        story = _OPEN_ASK.search(ask.text) and len(words) > _SHORT
        if self._list("answers").search(text) and not story:
            return Intent.ANSWER
        if not words or not self._list("sense").search(text):
            return Intent.UNCLEAR
        if len(words) <= 2:
            return Intent.ANSWER if not _OFFER.search(ask.text) else Intent.UNCLEAR
        return Intent.SMALL_TALK

    def asks_if_robot(self, spoken: Spoken) -> bool:
        """Whether the reply asks if it speaks to a machine."""
        return self._lexicon.phrases("robot").search(spoken.text) is not None

    def _bids_to_stop(self, spoken: Spoken) -> bool:
        """Whether a clause begins with the wish: "that's ridiculous, don't call again"."""
        words = self._of(Intent.STOP_CALLING)
        return any(words.search(spoken.text[clause.start : clause.end]) for clause in spoken.clauses)

    def _list(self, name: str) -> Phrases:
        return self._lexicon.phrases(name)

    def _of(self, intent: Intent) -> Phrases:
        return self._lexicon.intents.get(intent.value, Phrases())
