"""The answer to a yes/no question in Korean: what the reply means, whatever word it opens with."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kiwipiepy import Token

from carecall.dialog.understanding.korean.clauses import Clause
from carecall.dialog.understanding.korean.findings import WELCOME, Statement, own_feeling, settled
from carecall.dialog.understanding.korean.intents import only_fillers
from carecall.dialog.understanding.korean.numbers import temperatures
from carecall.dialog.understanding.lexicon import Lexicon
from carecall.dialog.understanding.meaning import AnswerReading, Asked
from carecall.domain.finding import Ternary

FEVER_FROM_C = 37.5  # degrees Celsius from which a temperature is a fever

_RELATED = {
    "pain": ("headache", "sore_throat", "chest_pain", "myalgia"),
    "low_mood": ("loneliness",),
    "loneliness": ("low_mood",),
}
_WINDOW = re.compile(
    r"어제 ?오늘|어제나 오늘|오늘이?나 ?어제|며칠|이번 ?주|지난|일주일|최근|그동안|"
    r"[적때][가도은이]? ?(?:있|없)[으었]*[시셨세신]|[은신]? ?날이? ?있|한 ?번이라도"
)
_NEVER_HAPPENED = re.compile(r"[적일때날][이은가도는]? ?없")
_HONORIFIC = {
    "드시": "먹", "잡수": "먹", "잡수시": "먹", "들": "먹",
    "주무시": "자", "계시": "있", "편찮": "아프", "말씀하": "말하",
    "묵": "먹", "댕기": "다니", "다녀오": "갔다오", "나갔다오": "나가",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ask:
    """What a question is after."""

    findings: tuple[str, ...]  # lexicon ids that it is about
    of_act: bool  # about something done or had, where a yes is welcome
    opposite: bool  # worded for the finding's opposite: "did you sleep well?" for poor sleep
    negative: bool  # asks whether it is absent: "두통은 없으세요?"
    denied: bool  # the finding itself is a denial: "냄새를 못 맡으세요?"
    stems: frozenset[str]  # its verbs
    words: frozenset[str] = frozenset()  # its nouns and verbs
    lately: bool = False  # names a window of its own: "어제오늘 설사하신 적 있으세요?"

    @property
    def of_trouble(self) -> bool:
        """A yes is bad news."""
        return bool(self.findings) and not self.of_act and not self.opposite


def ask_of(asked: Asked, tokens: Sequence[Token], lexicon: Lexicon) -> Ask:
    """Reads the question; ``asked.about`` names its findings, else its words do."""
    text = asked.text
    named = tuple(each for each in asked.about if each in lexicon.findings)
    if not named:
        named = tuple(name for name, phrases in lexicon.findings.items() if phrases.topic.search(text))
        if len(named) > 1 and "pain" in named:
            named = tuple(each for each in named if each != "pain")
    if "medication_missed" in named:
        named = tuple(each for each in named if each not in ("ate", "drank_water"))
    of_act = any(lexicon.findings[each].kind in WELCOME for each in named)
    opposite = lexicon.phrases("opposite_asks").search(text) is not None and not of_act
    if len(named) == 1 and f"trouble_{named[0]}" in lexicon.lists:
        names_trouble = lexicon.phrases(f"trouble_{named[0]}").search(text) is not None
        opposite = names_trouble if of_act else not names_trouble
    inherent = [match.span() for each in named for match in lexicon.findings[each].present.finditer(text)]
    negative = any(
        not any(start <= match.start() < end for start, end in inherent)
        for match in lexicon.phrases("negative_asks").finditer(text)
    )
    denied = (
        any(
            any(start <= match.start() < end for start, end in inherent)
            for match in lexicon.phrases("negative_asks").finditer(text)
        )
        or re.search(r"못\s?(?:느|맡|주무|드|자)", text) is not None
    )
    stems = frozenset(
        _HONORIFIC.get(token.form, token.form)
        for token in tokens
        if (token.tag[:2] in ("VV", "VA") or token.tag in ("XR", "XSV")) and token.form not in _EMPTY_STEMS
    )
    words = frozenset(token.form for token in tokens if token.tag[:2] in ("NN", "VV", "VA", "XR")) | stems
    if _NEVER_HAPPENED.search(text):
        negative, denied = True, False
    lately = _WINDOW.search(text) is not None
    return Ask(named, of_act, opposite, negative and (of_act or not opposite), denied, stems, words, lately)


def _scored(value: Ternary, confidence: float, quote: str) -> AnswerReading:
    rest = 1 - confidence
    scores = {Ternary.YES: rest / 2, Ternary.NO: rest / 2, Ternary.UNKNOWN: rest / 2}
    scores[value] = confidence
    if value is not Ternary.UNKNOWN:
        other = Ternary.NO if value is Ternary.YES else Ternary.YES
        scores[other], scores[Ternary.UNKNOWN] = rest * 0.4, rest * 0.6
    return AnswerReading(value=value, quote=quote, confidence=confidence, scores=scores)


def _flipped(value: Ternary) -> Ternary:
    return {Ternary.YES: Ternary.NO, Ternary.NO: Ternary.YES}.get(value, value)


_SHORT = 8  # characters of a clause whose verb can only be the question's: "자주 해요"
_LIGHT = frozenset({"하", "나", "들", "되", "가", "보", "오", "주"})
_DEGREE = re.compile(r"정도로|만큼|지경으로")
_GOES_ON = re.compile(r"(?:나[와온옵]|(?<!그건 )(?:그래|그렇)|심해|더해|똑같|여전|그대로)[가-힣]{0,2}\s*[.!]?\s*$")
_ADVERBS = re.compile(
    r"어제|오늘|그저께|아침|점심|저녁|밤|새벽|아까|조금씩?|좀|많이|가끔|자주|매일|날마다|맨날|"
    r"(?:한|두|세|서너|두어|한두|두세|몇|여러|[0-9]+) ?번(?:씩|이나|쯤|정도)?|에[는도만]?(?= )"
)
_AGREES_WARMLY = re.compile(r"\s*(?:응|그럼|암|하모|그래|그려)(?= (?!뭐|저|그|근데|그런데|글))")
_LACKING = re.compile(r"(?<!왜 )(?<!왜)없[어지다네고는]")
_OF_VISITORS = frozenset({"met_someone", "phoned"})  # what others do is the answer
_PLAIN_WORDS = 5  # letters of a statement that says more than "yes"
_WELL = re.compile(r"(?<![가-힣])잘(?![가-힣])|덕분|덕에|좋[아은네습]|걱정")
_EXCLAIMS = re.compile(
    r"아니\s?(?=(?:글쎄|근데|그런데|내 말|있잖|세상에|왜|어떻게|무슨|누가|언제|어디|도대체|그러니까)(?![가-힣]))"
)
_EMPTY_STEMS = frozenset({"같", "어떻", "그렇", "이렇", "어떠하"})
_HAS = frozenset({"있", "없"})
_PLAIN_SUBJECTS = frozenset({
    "것", "거", "적", "일", "데", "때", "날", "증상", "문제", "이상", "생각", "새", "틈", "하나", "정도", "경우",
    "전", "조금", "자주", "가끔", "매일", "군데", "번", "시간", "기운", "힘", "편",
})  # fmt: skip
_ILLNESS = re.compile(r"(?:병|염|증|통|암|당뇨|혈압|증세|디스크|풍|감기|열|기침|가래|콧물|장애|골절|불편|치매)$")
_TIME = re.compile(r"(?:주|달|년|해|월|봄|여름|가을|겨울|요일|때|날|번|시|밤|낮|저녁)$")
_AGREES = re.compile(r"\s*(?:네|예|응|어|그럼|맞)[\s,.]")


def _opening(text: str, lexicon: Lexicon) -> tuple[Ternary | None, int, int]:
    """The yes or no that the reply opens with, and where it stands."""
    at = 0
    for _ in range(4):
        while at < len(text) and text[at] in " ,.~…!\n":
            at += 1
        if exclaimed := _EXCLAIMS.match(text, at):
            at = exclaimed.end()
            continue
        for name, value in (("yes", Ternary.YES), ("no", Ternary.NO)):
            match = next(iter(lexicon.phrases(name).finditer(text, at)), None)
            if (
                match is not None
                and match.start() == at
                and not re.match(r"[가-힣]", text[match.end() : match.end() + 1])
            ):
                if text[match.end() : match.end() + 1] == "?":
                    return None, at, at
                filler = match.group(0) in ("어", "그래", "야", "응", "그럼") and len(text) - match.end() > 6
                if not filler:
                    return value, match.start(), match.end()
        filler_match = next(iter(lexicon.phrases("fillers").finditer(text, at)), None)
        if filler_match is None or filler_match.start() != at:
            break
        at = filler_match.end()
    return None, 0, 0


def yes_or_no(
    text: str,
    ask: Ask,
    clauses: Sequence[Clause],
    stated: Sequence[Statement],
    tokens: Sequence[Token],
    lexicon: Lexicon,
    *,
    evasive: bool,
) -> AnswerReading:
    """A Ternary with scores. ``evasive``: the reply does something else than to answer (asks back, waits, leaves)."""
    if "medication_missed" in ask.findings and (none := lexicon.phrases("no_medicine").search(text)):
        return _scored(Ternary.NO, 0.8, none.group(0))
    clauses = [each for each in clauses if not _of_another_thing(text, each, ask, lexicon)]
    stated = [each for each in stated if not _of_another_thing(text, each.clause, ask, lexicon)]
    content = _by_content(text, ask, clauses, stated, evasive=evasive)
    if content is None and ask.denied and not ask.lately and "없" in ask.stems and (lacking := _LACKING.search(text)):
        content = _scored(Ternary.YES, 0.85, lacking.group(0))
    unsure = [each for each in clauses if each.unsure]
    if "fever" in ask.findings:
        unsure += [each for each in clauses if lexicon.phrases("unmeasured").search(text, *each.span)]
    if content is not None and not (unsure and content.confidence < 0.8):
        return content
    if unsure or evasive:
        quote = unsure[0].text.strip() if unsure else ""
        return _scored(Ternary.UNKNOWN, 0.85, quote)
    if only_fillers(text, lexicon):
        return _scored(Ternary.UNKNOWN, 0.9, "")
    opening, start, end = _opening(text, lexicon)
    tail = text[end:] if opening else text
    if opening is Ternary.NO and ask.negative and not re.search(r"없|안 |전혀", text[start:end] + tail):
        if any(each.fine or each.over for each in clauses if not each.negations):
            return _scored(Ternary.NO, 0.8, text.strip())
        if lexicon.phrases("somewhat").search(tail) or re.search(r"있", tail):
            return _scored(Ternary.YES, 0.8, text.strip())
        return _scored(Ternary.UNKNOWN, 0.5, text[start:end])
    if opening is not None:
        value = opening
        if value is Ternary.YES and ask.negative:
            value = Ternary.NO
            if lexicon.phrases("somewhat").search(tail) or re.search(r"있", tail) or _states(tail, end, clauses):
                value = Ternary.YES
        word = text[start:end]
        if value is Ternary.NO and re.match(r"괜찮", word) and not ask.of_trouble:
            return _scored(Ternary.YES if ask.opposite else Ternary.UNKNOWN, 0.6, word)
        if value is Ternary.YES and not ask.negative and (denied := lexicon.phrases("denied").search(tail)):
            return _scored(Ternary.NO, 0.8, denied.group(0))
        long_tail = len(tail.strip(" .,!?")) > 14
        return _scored(value, 0.7 if long_tail else 0.9, word)
    return _by_predicate(text, ask, clauses, tokens, lexicon)


def _states(tail: str, after: int, clauses: Sequence[Clause]) -> bool:
    """Whether the words after a "yes" tell of something without denying or praising it."""
    if len(re.sub(r"\W", "", tail)) < _PLAIN_WORDS or _WELL.search(tail):
        return False
    told = [each for each in clauses if each.end > after and not each.bare]
    return bool(told) and not any(
        each.negations or each.fine or each.over or each.other or each.asking or each.planned for each in told
    )


def _by_content(
    text: str, ask: Ask, clauses: Sequence[Clause], stated: Sequence[Statement], *, evasive: bool
) -> AnswerReading | None:
    wanted = set(ask.findings)
    mine = [
        each
        for each in stated
        if each.id in wanted
        and (not each.clause.other or each.id in _OF_VISITORS or own_feeling(each, text))
        and not each.clause.asking
        and not _echo(each, text, evasive=evasive)
        and not _of_another(each, stated)
    ]
    if "fever" in wanted and (degrees := temperatures(text)):
        measured, start, end = degrees[-1]
        celsius = measured if measured < 60 else (measured - 32) * 5 / 9
        return _scored(Ternary.YES if celsius >= FEVER_FROM_C else Ternary.NO, 0.93, text[start:end])
    if not mine:
        related = [name for each in ask.findings for name in _RELATED.get(each, ())]
        mine = [each for each in stated if each.id in related and each.value is Ternary.YES and not each.clause.other]
    if ask.of_act:
        mine = [
            Statement(each.id, Ternary.NO, each.span, each.clause) if each.clause.planned and not _done(each) else each
            for each in mine
        ]
    if not mine:
        return None
    verdicts = [settled([each for each in mine if each.id == name]) for name in dict.fromkeys(each.id for each in mine)]
    known = [each for each in verdicts if each is not None]
    chosen = next((each for each in reversed(known) if each.value is Ternary.YES), known[-1])
    value = _flipped(chosen.value) if ask.opposite else chosen.value
    start, end = chosen.span
    return _scored(value, 0.75 if chosen.weak else 0.92, text[start:end])


def _of_another_thing(text: str, clause: Clause, ask: Ask, lexicon: Lexicon) -> bool:
    """Whether the clause has the words of what was asked about, but of another thing: "약 먹었어" of a meal."""
    return any(lexicon.phrases(f"another_{each}").search(text, *clause.span) is not None for each in ask.findings)


def _of_another(each: Statement, stated: Sequence[Statement]) -> bool:
    """Whether the words of a denial deny something else: "열은 없어요" of having eaten."""
    return each.value is Ternary.NO and any(
        other.id != each.id
        and other.clause is each.clause
        and other.value is Ternary.NO
        and other.span[0] < each.span[0]
        and each.span[1] <= other.span[1]
        for other in stated
    )


def _has_another(clause: Clause, ask: Ask, tokens: Sequence[Token]) -> bool:
    """Whether the clause says of a thing that was not asked about that there is or is none: "강아지 있어요"."""
    inside = [token for token in tokens if clause.start <= token.start < clause.end]
    at = next((i for i, token in enumerate(inside) if token.form in _HAS and token.tag[:2] in ("VV", "VA")), None)
    if at is None:
        return False
    before = [token for token in inside[:at] if token.tag not in ("MAG", "MAJ", "IC")]
    while before and before[-1].tag[0] == "J":
        before.pop()
    if not before or before[-1].tag not in ("NNG", "NNP", "NNB"):
        return False
    noun = before.pop().form
    if _TIME.search(noun) or (noun == "느낌" and ask.of_trouble):
        return False
    if _ILLNESS.search(noun) and set(ask.findings) <= {"pain"}:
        return False
    if noun in ask.words and noun not in _PLAIN_SUBJECTS:
        return False
    if noun not in _PLAIN_SUBJECTS:
        return _ADVERBS.fullmatch(noun) is None
    if noun == "일" and not before:
        return True
    told = [token.form for token in before if token.tag[:2] in ("VV",)]
    named = bool(before) and before[-1].tag == "ETM" and bool(told)
    return named and told[-1] not in ask.stems and told[-1] not in ("그러", "이러")


def _echo(each: Statement, text: str, *, evasive: bool) -> bool:
    """Whether the words only repeat the question's: "열이요?"."""
    if each.value is not Ternary.YES:
        return False
    if evasive and len(each.clause.text.strip()) - (each.span[1] - each.span[0]) <= 4:
        return each.clause.bare or re.search(r"뭐|뭘|\?", text) is not None or text.startswith("요", each.span[1])
    return (
        each.clause.bare
        and re.search(r"(?:요|라고|라니)[\s?.]*$", each.clause.text) is not None
        and not _AGREES.match(text)
    )


def _done(each: Statement) -> bool:
    return re.search(r"[았었했갔왔였]", each.clause.text) is not None


def _by_predicate(
    text: str, ask: Ask, clauses: Sequence[Clause], tokens: Sequence[Token], lexicon: Lexicon
) -> AnswerReading:
    mine = [
        each
        for each in reversed(clauses)
        if not (each.other or each.asking or each.supposed or _has_another(each, ask, tokens))
    ]
    for clause in mine:
        denied = lexicon.phrases("denied").search(text, *clause.span)
        if denied and not re.search(r"왜\s?\Z", text[: denied.start()]):
            return _scored(Ternary.NO, 0.78, denied.group(0))
    if ask.lately:
        mine = [each for each in mine if not (each.now and each.fine)] or mine
    for clause in mine:
        if clause.over and ask.of_trouble:
            return _scored(Ternary.NO, 0.78, clause.text.strip())
        if clause.fine and (ask.of_trouble or ask.opposite):
            value = Ternary.NO if ask.of_trouble else Ternary.YES
            return _scored(_flipped(value) if clause.negations else value, 0.75, clause.text.strip())
        stems = {
            _HONORIFIC.get(token.form, token.form)
            for token in tokens
            if clause.start <= token.start < clause.end and token.tag[:2] in ("VV", "VA")
        }
        tail = _DEGREE.split(clause.text)[-1]
        if len(re.sub(r"\W", "", _ADVERBS.sub("", tail))) > _SHORT:
            stems -= _LIGHT
        if clause.lasting and ask.of_trouble:
            return _scored(Ternary.YES, 0.7, clause.text.strip())
        if ask.of_trouble and not clause.negations and _GOES_ON.search(tail) and len(re.sub(r"\W", "", tail)) <= _SHORT:
            concurs = re.search(r"그[래렇]", tail) is not None
            return _scored(Ternary.NO if ask.denied and not concurs else Ternary.YES, 0.65, clause.text.strip())
        if stems & ask.stems or (re.search(r"있", clause.text) and "있" in ask.stems):
            value = Ternary.NO if len(clause.negations) % 2 or (clause.planned and not ask.of_trouble) else Ternary.YES
            if ask.denied or (ask.opposite and stems & {"아프"}):
                value = _flipped(value)
            return _scored(value, 0.7, clause.text.strip())
        if ask.opposite and (poor := lexicon.phrases("poorly").search(text, *clause.span)):
            return _scored(Ternary.NO, 0.7, poor.group(0))
        if ask.of_act and clause.planned:
            return _scored(Ternary.NO, 0.65, clause.text.strip())
        if (somewhat := lexicon.phrases("somewhat").search(text, *clause.span)) and ask.of_trouble:
            return _scored(Ternary.YES, 0.65, somewhat.group(0))
        if ask.negative and re.search(r"있", clause.text) and not clause.negations:
            return _scored(Ternary.YES, 0.75, clause.text.strip())
    if agreed := _AGREES_WARMLY.match(text):
        return _scored(Ternary.NO if ask.negative else Ternary.YES, 0.55, agreed.group(0).strip())
    return _scored(Ternary.UNKNOWN, 0.6, "")
