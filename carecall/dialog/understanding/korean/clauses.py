"""Cuts a Korean reply into clauses and marks what holds of each: denied, over, of another person, only supposed."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from kiwipiepy import Kiwi, Token

from carecall.dialog.understanding.lexicon import Lexicon

LONGEST = 1200  # characters of a reply that are read whole; two minutes of speech
SEARCHED = 10_000  # characters that are searched for dangers
_LONGEST_ANALYSED = 400  # characters given to the morphological analyser
_NO_CUT = frozenset(
    {
        "게",
        "도록",
        "으러",
        "러",
        "려고",
        "으려고",
        "어",
        "아",
        "여",
        "다",
        "지",
        "나",
        "자",
        "고자",
        "거나",
        "든지",
        "든가",
        "ᆫ지",
        "는지",
        "은지",
        "을지",
        "ᆯ지",
    }
)
_SURFACE_CUT = re.compile(
    r"(?<=[가-힣])(?:는데|은데|인데|던데|한데|ㄴ데|는디|은디|인디|던디|지만|지마는|니까|니께|응께|길래|더니|다가|거든|"
    r"[어아해여와워려]서|[어아해여와워]도|가꼬|가지고|갖고|때문에|땜에|탓에|덕분에|덕에|면서|구요|고요)(?=[\s,.]|$)"
    r"|(?<=[어아려겨여와워해혀져려라]) (?:가|가꼬|갖고|가지고|갖구)(?= )|(?<= )(?:때문에|땜에|탓에|덕분에)|[.?!…,;\n]+"
)
_NAMED_WITH = re.compile(r"(?:열|기침|두통|설사|콧물|오한|가래|몸살|미열|인후통|복통|현기증|통증)하고\Z")
_MOCKED = re.compile(r"(?:괜찮|멀쩡|말짱)[가-힣]{0,2}\s?(?:뭐가|뭘|무슨|개뿔|뭔)")
_EMPHATIC = re.compile(r"(?:몇|얼마나|어찌나|을매나|월매나|어떻게나).{0,12}(?:는지|은지|던지|지)\s?(?:몰|모르)")
_GIVEN_BY = re.compile(r"[가-힣 ]{0,8}(?:준|온|보낸|만든|끓인|담근|쑨|한) [가-힣]")  # "the soup that my daughter made"
_DEGREE = re.compile(r".{0,7}(?:정도|만큼|지경)")
_KEEPS_ON = re.compile(r"\s*(?:않|안\s*하|못\s*하|있|싶|말(?=[고아라자았기]|$)|나서|보[니면])")
_WHERE_IS = re.compile(r"(?:어[디데]|워디) ?있[어는나지습니]|어딨")
_RHETORICAL = re.compile(r"왜\s?(?:안|못|없)")  # "why would there be none": there is
_ILLNESS_OF_OTHERS = re.compile(r"(?:감기|독감|코로나|병|아프|아파|다[쳐치]|넘어|걸려|수술|입원)[가-힣 ]{0,8}서[\s,]*$")


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause; offsets count characters of the reply."""

    start: int
    end: int
    text: str
    negations: tuple[tuple[int, int], ...] = ()
    over: tuple[tuple[int, int], ...] = ()  # "it stopped", "it is gone"
    lasting: tuple[tuple[int, int], ...] = ()  # "it will not stop"
    fine: tuple[tuple[int, int], ...] = ()
    past: bool = False  # speaks of an earlier time in contrast to now
    long_ago: bool = False
    other: bool = False  # the subject is not the recipient
    household: bool = False  # the subject may live with the recipient
    supposed: bool = False  # a condition, a fear or a near miss
    planned: bool = False
    asking: bool = False
    bare: bool = False  # names things without a predicate: "열이요"
    now: bool = False  # names the present: "지금은"
    rhetorical: tuple[tuple[int, int], ...] = ()  # "why would I not": I do
    unsure: tuple[tuple[int, int], ...] = ()  # "I do not know", "I cannot remember"

    @property
    def span(self) -> tuple[int, int]:
        return self.start, self.end


_LONG_AGO = re.compile(
    r"작년|재작년|옛날|예전|젊[을었어]|왕년|소싯적|어릴|어렸|시집살이|육이오|전쟁|[가-힣0-9]{1,8} ?년 ?전|한때|지난해|"
    r"몇 ?년|[두세네석넉여섯]{1,2} ?달 ?전|몇 ?달 ?전|지난 ?(?:봄|여름|가을|겨울)|코로나 ?때|지난달|처녀 ?때|총각 ?때"
)
_SINCE = re.compile(r"부터|이후로|뒤로|[이째]째|내내")
_PREDICATES = frozenset({"VV", "VA", "VX", "XSV", "XSA", "VCN", "VV-I", "VV-R", "VA-I", "VA-R", "VX-I", "VX-R"})
_NOW = re.compile(r"지금|오늘|이제|인제|인자|이젠|요새|요즘|현재|이자")
_CONTINUES = re.compile(r"(?:고|며|면서|는데|은데|ㄴ데|데|는디|지만|거든|구|때)[\s,]*$")
_QUESTION = re.compile(
    r"\?\s*$|(?:[았었있없하되인는될렸졌]나요|까요|인가요|는가요|습니까|ㅂ니까|입니까|을까|ㄹ까|ㄴ가|는가|은가|냐|노|능교|는교|남유|감유)[\s?]*$"
)


def plain(reply: str) -> str:
    """The reply cut to SEARCHED, control characters as blanks; every offset stays as it was."""
    cut = reply[:SEARCHED]
    return "".join(" " if unicodedata.category(each)[0] in "CZ" else each for each in cut)


def analyse(kiwi: Kiwi, text: str) -> list[Token]:
    """The morphemes of the first stretch of the text."""
    head = text[:_LONGEST_ANALYSED]
    return list(kiwi.tokenize(head)) if head.strip() else []


def _keeps_on(text: str, end: int) -> bool:
    """Whether the words after ``end`` belong to what stands before: an auxiliary, or "없어서 못 먹지" (so good)."""
    return _KEEPS_ON.match(text, end) is not None or (text[:end].strip() == "없어서" and text.startswith(" 못 먹", end))


def _cuts(text: str, tokens: Sequence[Token]) -> Iterable[int]:
    for match in _SURFACE_CUT.finditer(text):
        if not _keeps_on(text, match.end()):
            yield match.end()
    for index, token in enumerate(tokens):
        following = tokens[index + 1] if index + 1 < len(tokens) else None
        end = token.start + token.len
        if token.tag == "EF":
            if following is not None and following.tag in ("JX", "EF") and following.start == end:
                end = following.start + following.len
            yield end
        elif token.tag == "EC" and token.form in ("어", "아"):
            if following is not None and following.tag in ("NNG", "NP", "MAG", "MAJ") and following.start > end:
                yield end
        elif token.tag == "EC" and token.form not in _NO_CUT:
            if following is None or _NAMED_WITH.search(text, 0, end):
                continue
            if following.tag == "VX" or _keeps_on(text, end):
                continue
            if following.tag.startswith("J") and following.start == end:
                end = following.start + following.len
            yield end


def clauses_of(text: str, tokens: Sequence[Token], lexicon: Lexicon) -> tuple[Clause, ...]:
    """The clauses of the text in order. A subject holds on over the clauses that only continue its sentence."""
    ends = ("", " ", ",", ".", "?", "!")
    cuts = sorted({0, len(text), *(cut for cut in _cuts(text, tokens) if text[cut : cut + 1] in ends)})
    found: list[Clause] = []
    other = household = False
    for start, end in pairwise(cuts):
        piece = text[start:end]
        if not piece.strip(" ,.?!…;~"):
            if found:
                found[-1] = replace(found[-1], end=end, text=text[found[-1].start : end])
                if not piece.strip(" ~,"):
                    continue
                other = household = False
            continue
        clause = _marked(start, end, tokens, text, lexicon)
        names_other = lexicon.phrases("others").search(text, start, end)
        if names_other and _GIVEN_BY.match(text, names_other.end()):
            names_other = None
        names_self = lexicon.phrases("selves").search(text, start, end)
        if names_self and (not names_other or names_other.start() < names_self.start()):
            other = household = False
        elif names_other:
            other = True
            household = lexicon.phrases("household").search(text, start, end) is not None
        found.append(replace(clause, other=other, household=household))
        if not (_CONTINUES.search(piece) or (other and _ILLNESS_OF_OTHERS.search(piece))):
            other = household = False
    return tuple(found)


def _spans(name: str, text: str, start: int, end: int, lexicon: Lexicon) -> tuple[tuple[int, int], ...]:
    return tuple(match.span() for match in lexicon.phrases(name).finditer(text, start, end))


def _touches(spans: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    return any(first < end and start < last for first, last in spans)


def _marked(start: int, end: int, tokens: Sequence[Token], text: str, lexicon: Lexicon) -> Clause:
    def has(name: str) -> bool:
        return lexicon.phrases(name).search(text, start, end) is not None

    piece = text[start:end]
    since = _SINCE.search(piece) is not None
    long_ago = _LONG_AGO.search(piece) is not None and not since
    lasting = _spans("lasting", text, start, end, lexicon)
    asked_why = tuple(match.span() for match in _RHETORICAL.finditer(text, start, end))
    denials = tuple(
        (first, last)
        for first, last in _spans("negations", text, start, end, lexicon)
        if not (_touches(lasting, first, last) or _touches(asked_why, first, last) or _DEGREE.match(text, last, end))
    )
    over = tuple(each for each in _spans("gone", text, start, end, lexicon) if not _touches(lasting, *each))
    return Clause(
        start=start,
        end=end,
        text=piece,
        negations=denials,
        over=over,
        lasting=lasting,
        fine=() if _MOCKED.search(piece) else _spans("fine", text, start, end, lexicon),
        past=(has("past") and not since) or long_ago,
        long_ago=long_ago,
        supposed=has("hypothetical"),
        planned=has("plans"),
        asking=_QUESTION.search(piece) is not None or (not denials and _WHERE_IS.search(piece) is not None),
        rhetorical=asked_why,
        unsure=() if _EMPHATIC.search(piece) else _spans("unsure", text, start, end, lexicon),
        bare=not any(start <= token.start < end and token.tag in _PREDICATES for token in tokens),
        now=_NOW.search(piece) is not None,
    )
