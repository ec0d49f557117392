"""What a Korean reply does: answers, asks back, wants to leave, chats."""

import re
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


_QUESTIONS = frozenset({Intent.MEDICAL_QUESTION, Intent.OUT_OF_SCOPE_QUESTION})
_TELLS = re.compile(
    r"^(?!.*(?:\?|얼마|몇|언제|누가|누구|어디|어떻게|어째|왜|무슨)).*[았었했됐갔왔렸졌쳤났][어지다네](?:요|유)?[\s.]*$"
)
_WH = re.compile(r"뭐|뭘|무엇|무얼|무슨|어디|누구|누가|언제|몇|어떻게|어떤|얼마|왜")
_SMALL_TALK_ASK = re.compile(r"안녕하세요[^?]*$|더 하(?:실|고)|하실 말씀|하고 싶")
_COMMON = frozenset({"하", "있", "없", "되", "보", "주", "것", "거", "좀", "오늘", "요즘", "어제", "때", "말"})
_WHO_ARE_YOU = re.compile(
    r"(?:님|씨|어르신|할머니|할아버지|선생님|여사님|본인)[가이은]?\s?(?:이?[세신]가?요|맞|이신|되[세시]|계)"
)
_THAT_IS_ME = re.compile(r"\s*(?:맞|네|예|그래|그렇|응|어 |접니다|전데|저예요|저여|나[요여야]|내가|제가|그런데요)")
_NOT_ME = re.compile(r"\s*(?:아니|아닌|아뇨|아녀|아닙|안 ?계|없[는어])")


def named_intent(text: str, ask: str, lexicon: Lexicon) -> tuple[Intent, str] | None:
    """The intent that a set phrase of the reply gives away, and the phrase."""
    if _WHO_ARE_YOU.search(ask):
        denied = _NOT_ME.match(text) or lexicon.phrases("wrong_person_when_named").search(text)
        if denied:
            return Intent.WRONG_PERSON, denied.group(0)
    for intent in _ORDER:
        phrases = lexicon.intents.get(intent)
        if phrases is not None and (match := phrases.search(text)):
            if intent in _QUESTIONS and _TELLS.search(text):
                continue
            if intent is Intent.STOP_CALLING and not _meant(text, lexicon):
                continue
            return intent, match.group(0)
    return None


def _meant(text: str, lexicon: Lexicon) -> bool:
    """Whether a wish for no more calls is about these calls, not about others' calls or another thing given up."""
    if lexicon.phrases("stop_calling_to_us").search(text):
        return True
    return not any(lexicon.phrases(name).search(text) for name in ("stop_calling_not_meant", "stop_calling_of_others"))


def only_fillers(text: str, lexicon: Lexicon) -> bool:
    """Whether nothing but "um, that, well" is said; a single "어" is a yes."""
    words = re.findall(r"[가-힣A-Za-z0-9]+", text)
    return len(words) > 1 and not re.search(r"[가-힣A-Za-z0-9]", lexicon.phrases("fillers").mask(text, " "))


def _in_shreds(text: str) -> bool:
    """Whether mostly single syllables were recognised."""
    words = text.split()
    return len(words) >= 4 and sum(len(word) == 1 for word in words) >= 0.6 * len(words)


def intelligible(tokens: Sequence[Token]) -> bool:
    """Whether the words hang together: a predicate with an ending, or a bare noun or interjection."""
    words = [token for token in tokens if token.tag[0] not in "SW"]
    if not words:
        return False
    ends = any(token.tag in ("EF", "EC") for token in words)
    predicates = any(token.tag[:2] in ("VV", "VA", "VX", "VC", "XS") for token in words)
    return ends and predicates


def replies_to(ask: str, ask_words: frozenset[str], tokens: Sequence[Token]) -> bool:
    """Whether a reply that gives no known value still speaks to the question: it repeats its words, or tells what,
    where, who."""
    if _SMALL_TALK_ASK.search(ask) or "?" not in ask:
        return False
    shared = {token.form for token in tokens if token.tag[:2] in ("NN", "VV", "VA", "XR")} & ask_words
    return bool(shared - _COMMON) or _WH.search(ask) is not None


def intent_of(
    text: str, ask: str, tokens: Sequence[Token], lexicon: Lexicon, *, answers: bool, on_topic: bool, replies: bool
) -> Intent:
    """The intent. ``answers``: the reply gives a value; ``on_topic``: it states something of the person's health."""
    named = named_intent(text, ask, lexicon)
    if named is not None:
        return named[0]
    if _WHO_ARE_YOU.search(ask) and _THAT_IS_ME.match(text):
        return Intent.ANSWER
    if only_fillers(text, lexicon):
        return Intent.UNCLEAR
    if answers or on_topic:
        return Intent.ANSWER
    unclear = lexicon.intents.get(Intent.UNCLEAR)
    if unclear is not None and unclear.search(text):
        return Intent.UNCLEAR
    answering = lexicon.intents.get(Intent.ANSWER)
    if answering is not None and "?" in ask and not _SMALL_TALK_ASK.search(ask) and answering.search(text):
        return Intent.ANSWER
    small_talk = lexicon.intents.get(Intent.SMALL_TALK)
    if small_talk is not None and small_talk.search(text):
        return Intent.SMALL_TALK
    if replies and len(text.split()) <= 2:
        return Intent.ANSWER
    if not intelligible(tokens) or _in_shreds(text):
        return Intent.UNCLEAR
    return Intent.ANSWER if replies else Intent.SMALL_TALK
