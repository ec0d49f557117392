"""Finds in a Korean reply what cannot wait: present now, with the recipient or in their home."""

import re
from collections.abc import Mapping, Sequence

from carecall.dialog.red_flags import RedFlagPhrases
from carecall.dialog.understanding.korean.clauses import LONGEST, Clause, clauses_of
from carecall.dialog.understanding.lexicon import Lexicon
from carecall.dialog.understanding.meaning import RedFlagReading

_OF_OTHERS = frozenset({"abuse_or_violence"})  # the doer is the subject; the recipient is the one who suffers
_DENIED_AFTER = re.compile(
    r"[가-힣]{0,4}\s?(?:(?:적|일|거|것|건|데|생각|마음|증상|정도)[은는이가도까지]{0,2}\s?[가-힣]{0,4}\s?(?:없|읎|아니)|"
    r"(?:지|질|진|지는|지도)\s?(?:않|안 |못)|[지질]\s?않)"
)
_AROUND = 160  # characters before and after a match that may change what it means
_MOST_LOOKED_AT = 12  # matches beyond the part read whole, so that no text takes long
_TOLD = re.compile(r"[았었했]|[은ㄴ한던] ?적|던 ")  # past tense
_NEARBY_BEFORE, _NEARBY_AFTER = 40, 40  # a rambling reply comes without full stops
_SENTENCE = re.compile(r"[.?!\n]+")
_RECOVERED = re.compile(
    r"(?:지금은|이제는?|인제는?|요새는|요즘은|이젠|오늘은)\s?.{0,14}(?:괜찮|멀쩡|말짱|나았|없|안 |"
    r"살 ?만|좋|풀|멎|편|잘 )|다 ?나았|싹 ?나았|(?<![은는도] )(?:멀쩡|말짱)"
)
_NOT_HERE = re.compile(
    r"(?:텔레비전?|티비|테레비|뉴스|드라마|연속극|영화|방송|라디오|신문|소설|유튜브)"
    r"(?!(?:[를을도]|만)? ?(?:보다|보는|보고 ?있|틀|켜|끄|듣다))|꿈[에을]|소문|"
    r"(?<![가-힣])(?:옆집|앞집|뒷집|이웃집?|아랫집|윗집|동네|건넛집|사돈|친구|김 ?씨|박 ?씨|이 ?씨|최 ?씨|"
    r"아는 ?(?:사람|언니|동생|형님)|남들|딴 ?사람|마을 ?사람|(?:경로당|노인정|교회|복지관)에? ?(?:다니던? ?)?"
    r"(?:할매|할머니|할배|영감|사람|언니|"
    r"노인|양반))(?: ?[가-힣]{1,5})?(?:이가|이|가|은|는|네|도|들이|들은)(?= )(?! ?(?:좀|와서|불러|없[고어는]))"
)


def _sentence(text: str, start: int, end: int) -> tuple[int, int]:
    """The sentence that the span stands in."""
    first = max((match.end() for match in _SENTENCE.finditer(text, 0, start)), default=0)
    after = _SENTENCE.search(text, end)
    return first, after.start() if after else len(text)


def red_flags_in(
    text: str, clauses: Sequence[Clause], flags: Mapping[str, RedFlagPhrases], lexicon: Lexicon
) -> tuple[RedFlagReading, ...]:
    """Every danger that is stated, with the words that state it."""
    found: list[RedFlagReading] = []
    for name, phrases in flags.items():
        for match in phrases.patterns.finditer(text):
            if _counts(name, phrases, text, match.start(), match.end(), clauses, lexicon):
                found.append(RedFlagReading(name, match.group(0).strip()))
                break
    return tuple(found)


def red_flags_beyond(
    text: str, known: frozenset[str], flags: Mapping[str, RedFlagPhrases], lexicon: Lexicon
) -> tuple[RedFlagReading, ...]:
    """The dangers that are stated only after the part of the text that is read whole, besides the ``known`` ones."""
    found: list[RedFlagReading] = []
    looked_at = 0
    for name, phrases in flags.items():
        if name in known:
            continue
        for match in phrases.patterns.finditer(text, LONGEST - _AROUND):
            if looked_at == _MOST_LOOKED_AT:
                break
            looked_at += 1
            first = max(0, match.start() - _AROUND)
            around = text[first : match.end() + _AROUND]
            clauses = clauses_of(around, (), lexicon)
            if _counts(name, phrases, around, match.start() - first, match.end() - first, clauses, lexicon):
                found.append(RedFlagReading(name, match.group(0).strip()))
                break
    return tuple(found)


def _counts(
    name: str,
    phrases: RedFlagPhrases,
    text: str,
    start: int,
    end: int,
    clauses: Sequence[Clause],
    lexicon: Lexicon,
) -> bool:
    first, last = _sentence(text, start, end)
    first, last = max(first, start - _NEARBY_BEFORE), min(last, end + _NEARBY_AFTER)
    sentence = text[first:last]
    if phrases.unless.search(text, first, last):
        return False
    if _DENIED_AFTER.match(text, end) and not re.search(r"[못몬없]|안 ", text[start:end]):
        return False
    if _NOT_HERE.search(sentence):
        return False
    mine = [each for each in clauses if each.start < end and start < each.end]
    if mine and _TOLD.search(mine[-1].text):
        for each in reversed([each for each in clauses if first <= each.start < start]):
            if each.now:
                break
            if each.long_ago:
                return False
    if any(each.long_ago for each in mine) and not re.search(r"지금도|아직도|요즘도|또", sentence):
        return False
    if mine and mine[-1].supposed and name not in ("suicidal_intent", "abuse_or_violence"):
        return False
    rest = text[end : end + _NEARBY_AFTER]
    if name not in ("suicidal_intent", "asks_for_help") and _RECOVERED.search(rest):
        return False
    if name in _OF_OTHERS or name in ("asks_for_help", "suicidal_intent"):
        return True
    return not any(each.other and not each.household for each in mine)
