"""Numbers as they are spoken in Korean: Sino-Korean, native and digits, temperatures, hours, meals, scores."""

import re

from carecall.domain.finding import Unit

_SINO = {"영": 0, "공": 0, "일": 1, "이": 2, "삼": 3, "사": 4, "오": 5, "육": 6, "륙": 6, "칠": 7, "팔": 8, "구": 9}
_NATIVE_TENS = {
    "열": 10,
    "스물": 20,
    "스무": 20,
    "서른": 30,
    "마흔": 40,
    "쉰": 50,
    "예순": 60,
    "일흔": 70,
    "여든": 80,
    "아흔": 90,
}
_NATIVE_ONES = {
    "하나": 1, "한": 1, "둘": 2, "두": 2, "셋": 3, "세": 3, "서": 3,
    "석": 3, "시": 3, "넷": 4, "네": 4, "너": 4, "넉": 4, "니": 4,
    "다섯": 5, "다서": 5, "닷": 5, "여섯": 6, "여서": 6, "엿": 6, "일곱": 7,
    "일고": 7, "여덟": 8, "여덜": 8, "여덥": 8, "야달": 8, "아홉": 9, "아호": 9,
}  # fmt: skip
_D = r"[0-9]{1,3}(?:[.,][0-9]{1,2})?"


def value_of(words: str) -> float | None:
    """The number that the words spell, None when they spell none: 삼십칠, 서른일곱, 37.5, 백."""
    words = words.replace(" ", "").replace(",", ".")
    if not words:
        return None
    if re.fullmatch(r"[0-9]{1,6}(?:\.[0-9]+)?", words):
        return float(words)
    if all(each in _SINO or each in "십백천" for each in words):
        total, digit = 0, None
        for each in words:
            if each in "십백천":
                total += (1 if digit is None else digit) * {"십": 10, "백": 100, "천": 1000}[each]
                digit = None
            elif digit is None:
                digit = _SINO[each]
            else:
                digit = digit * 10 + _SINO[each]
        return float(total + (digit or 0))
    tens = 0
    for name, ten in _NATIVE_TENS.items():
        if words.startswith(name):
            tens, words = ten, words[len(name) :]
            break
    if not words:
        return float(tens)
    return None if words not in _NATIVE_ONES else float(tens + _NATIVE_ONES[words])


Reading = tuple[float, int, int]  # the value, and where it stands

_W = r"(?<![가-힣0-9.])"
_SINO_WORD = (
    r"(?=[일이삼사오육륙칠팔구십백영공])(?:[일이삼사오육륙칠팔구]? ?백 ?)?(?:[일이삼사오육륙칠팔구]? ?십 ?)?"
    r"(?:[영공일이삼사오육륙칠팔구](?! ?[십백]))?(?<! )"
)
_NATIVE_WORD = (
    r"(?:(?:열|스물|스무|서른|마흔|쉰|예순|일흔|여든|아흔)(?: ?(?:하나|한|둘|두|셋|세|넷|네|다섯|여섯|"
    r"일곱|여덟|여덜|아홉))?"
    r"|하나|한|둘|두|셋|세|서너|넷|네|너댓|다섯|여섯|일곱|여덟|여덜|여덥|아홉)"
)
_ANY = rf"(?:{_D}|{_SINO_WORD}|{_NATIVE_WORD})"
_TENTH = (
    r"(?:[0-9]{1,2}|[일이삼사오육륙칠팔구영공](?: ?[일이삼사오육륙칠팔구영공])?|하나|둘|셋|넷|다섯|여섯|일곱|여덟|아홉)"
)
_TEMPERATURE = re.compile(
    rf"{_W}({_ANY})\s?(?:(?:도|점|쩜|\.)\s?({_TENTH})\s?(?:부|분)?(?:\s?도)?|도)(?![가-힣]*치)?"
    rf"|{_W}({_D})(?![0-9시])"
    rf"|{_W}((?:삼십|사십|구십|백)\s?[일이삼사오육륙칠팔구]?(?:\s[일이]?)?)(?=\s|$|이|쯤|정도|요)"
)
_HALF = r"(?:\s?(반))?"


def temperatures(text: str) -> list[Reading]:
    """Body temperatures as they are said, 32–43 (°C) or 90–110 (°F)."""
    found: list[Reading] = []
    for match in _TEMPERATURE.finditer(text):
        whole = value_of(match.group(1) or match.group(3) or match.group(4) or "")
        if whole is None:
            continue
        value = whole
        tenth = match.group(2)
        if tenth is not None:
            part = value_of(tenth)
            if part is None:
                continue
            value = whole + (part / 10 if part < 10 else part / 100)
        elif re.match(r"\s?반", text[match.end() :]) and whole == int(whole):
            value = whole + 0.5
        if 32 <= value <= 43 or 90 <= value <= 110:
            found.append((value, match.start(), match.end()))
    return found


_HOURS = re.compile(
    rf"{_W}({_ANY}|한두|두세|두어|서너|너댓|너덧|네댓|네다섯|너더댓|대여섯|대엿|예닐곱|일고여덟|여덟아홉)\s?시간{_HALF}(?:\s?({_SINO_WORD}|[0-9]{{1,2}})\s?분)?"
)
_CLOCK = re.compile(
    rf"(새벽|아침|오전|낮|점심|오후|저녁|밤|한밤중?)?(?:에)?\s?{_W}(?<!시간 )({_NATIVE_WORD}|"
    rf"[0-9]{{1,2}}|십이|십일|십)\s?시(?!간)\s?(?:(반)|({_SINO_WORD}|[0-9]{{1,2}})\s?분)?"
)
_FEW = {
    "한두": 1.5,
    "두세": 2.5,
    "두어": 2,
    "서너": 3.5,
    "너댓": 4.5,
    "네댓": 4.5,
    "너덧": 4.5,
    "네다섯": 4.5,
    "너더댓": 4.5,
    "대여섯": 5.5,
    "대엿": 5.5,
    "예닐곱": 6.5,
    "일고여덟": 7.5,
    "여덟아홉": 8.5,
}
_NO_SLEEP = re.compile(
    r"(?:한숨|한잠|잠|눈|한 ?시간)[도을를]?\s?(?:하나도|전혀|통|한숨도|못 붙)?.{0,6}(?:못|몬|"
    r"안)\s?(?:잤|자|붙|잔)|밤[을]?\s?(?:꼴딱|꼬박|홀딱)?\s?(?:새|샜)|뜬눈|날밤|꼬박\s?샜|샜[어지네다]|(?:홀딱|꼴딱)\s?샜"
)


def hours(text: str) -> list[Reading]:
    """Lengths of time in hours: 여섯 시간 반, or from one hour of the clock to another."""
    found: list[Reading] = []
    for match in _HOURS.finditer(text):
        words = match.group(1)
        value = _FEW.get(words, value_of(words))
        if value is None:
            continue
        if match.group(2):
            value += 0.5
        if match.group(3):
            value += (value_of(match.group(3)) or 0) / 60
        found.append((value, match.start(), match.end()))
    if found:
        return found
    clock: list[tuple[float, str, int, int]] = []
    for match in _CLOCK.finditer(text):
        hour = value_of(match.group(2))
        if hour is None or hour > 24:
            continue
        minute = 0.5 if match.group(3) else (value_of(match.group(4)) or 0) / 60 if match.group(4) else 0.0
        clock.append((hour + minute, match.group(1) or "", match.start(), match.end()))
    if len(clock) >= 2:
        (bed, bed_part, start, _), (up, up_part, _, end) = clock[-2], clock[-1]
        length = (up - bed) % 12
        if (
            bed_part in ("낮", "점심", "오후", "저녁", "밤")
            and up_part in ("낮", "점심", "오후")
            and bed >= 6
            and up < 6
        ):
            length += 12 if length < 4 else 0
        return [(length or 12.0, start, end)]
    if awake := _NO_SLEEP.search(text):
        return [(0.0, *awake.span())]
    return []


_MEALS = re.compile(rf"{_W}({_ANY}|한두|두세|두어|서너)\s?(?:끼|번|그릇(?=만)|차례|식)|삼시|세끼|한끼|두끼")
_MEAL_NAMES = re.compile(r"아침|점심|저녁|아점|새참|조식|중식|석식")
_MEAL_OF_DAY = {"아침": 1, "점심": 2, "저녁": 3}
_UNTIL = re.compile(r"(아침|점심|저녁)까지\s?(?:다|모두|벌써|잘)?\s?(?:먹|챙겨|했|들)")
_NO_MEAL = re.compile(
    r"(?:한 ?(?:끼|술|숟갈|숟가락|입|톨)|하나|아무것|암것|밥|곡기|입|물)[도에을를]{0,2}\s?.{0,8}"
    r"(?:못|안|몬)\s?(?:먹|묵|댔|대|들|했|떴|떠)"
    r"|(?:다|내리|쫄쫄|하루 ?종일|온종일|종일|여태|아직|그냥|전부|계속)[ 까지]{0,4}.{0,4}(?:굶|"
    r"안 ?먹|못 ?먹|안 ?묵|못 ?묵)|굶었|빈속|물만|건너뛰었"
)
_SKIPPED = re.compile(
    r"굶|거르|걸렀|걸러|건너|안\s?(?:먹|묵|들)|못\s?(?:먹|묵|들)|생략|빼먹|아직|이따|먹을[라려거]|패스|먹으려|안 ?했"
)


def meals(text: str) -> list[Reading]:
    """How many meals: 두 끼, or the meals that are named as eaten."""
    found: list[Reading] = []
    for match in _MEALS.finditer(text):
        words = (match.group(1) or {"삼시": "세", "세끼": "세", "한끼": "한", "두끼": "두"}[match.group(0)]).strip()
        value = _FEW.get(words, value_of(words))
        if value is None or value > 10:
            continue
        after = text[match.end() : match.end() + 14]
        if re.match(r"도\s?.{0,5}(?:못|안|몬)", after):
            found.append((0.0, match.start(), match.end()))
        elif re.match(r"[은는]?\s?(?:거르|걸렀|걸러|굶|건너|못|안)", after):
            found.append((3.0 - value, match.start(), match.end()))
        else:
            found.append((value, match.start(), match.end()))
    if found:
        if re.search(r"삼시\s?세\s?끼|세\s?끼", text):
            last = found[-1]
            return (
                [*found[:-1], last] if last[0] not in (3.0,) and "삼시" not in text else [(3.0, found[0][1], last[2])]
            )
        return found
    named = [
        match
        for match in _MEAL_NAMES.finditer(text)
        if not re.match(r"(?:에|부터)?\s?(?:일어|깨|눈을?\s|머리|열[이은])", text[match.end() :])
    ]
    if last_eaten := _UNTIL.search(text):
        return [(float(_MEAL_OF_DAY[last_eaten.group(1)]), *last_eaten.span())]
    if named:
        eaten: set[str] = set()
        skipped = False
        until = len(text)
        for match in reversed(named):
            after = text[match.end() : until]
            if not re.fullmatch(r"\s?(?:하고|이랑|랑|과|,|도|이고|밥)?\s?", after):
                skipped = _SKIPPED.search(after) is not None
            if not skipped:
                eaten.add(match.group(0))
            until = match.start()
        return [(float(len(eaten)), named[0].start(), named[-1].end())]
    if none := _NO_MEAL.search(text):
        return [(0.0, *none.span())]
    return []


_PAIR = r"(?:일이|이삼|삼사|사오|오륙|오육|육칠|칠팔|팔구|구십)(?![가-힣]? ?도)"
_HALF_OF_SCALE = re.compile(r"(?<![가-힣])(?:딱 )?(?:절?반|중간)\s?(?:정도|쯤|이[나야에요]|은|$)")
_FELL_TO = re.compile(
    r"(?<![가-힣])([일이삼사오육칠팔구영]|[0-9]|하나|둘|셋|넷|다섯|여섯|일곱|여덟)\s?(?:점)?으?로\s?"
    r"(?:많이 |확 |쑥 )?(?:떨어|내려|줄|올[라랐])"
)
_SCORE = re.compile(
    rf"{_W}({_PAIR}|{_ANY}|한두|두세|두어|서너|너댓|네댓|네다섯|대여섯|예닐곱)\s?(점|쩜|쯤|정도|이[에요었야고지네다예]|입|은|요|인|짜리|$|\s|,|\.|이$|밖에|까지|에서)"
)
_OUT_OF = re.compile(r"(?:십|10|열)\s?점?\s?(?:만점|중에|중|에서|으로|까지)(?:에서?|으로|에)?")
_NO_PAIN = re.compile(
    r"(?:하나도|전혀|안|통|아무렇지도)\s?(?:안\s?)?(?:아[프파픈픔]|아퍼|않)|제로|빵점|아픈 ?(?:데|"
    r"거)[도은는]? ?(?:없|읎)"
)
_WORST = re.compile(r"만점|꽉\s?찼|최고로|더\s?(?:할|이상).{0,6}없")


def scores(text: str) -> list[Reading]:
    """Scores from 0 to 10."""
    bare = _OUT_OF.sub(lambda match: "~" * len(match.group(0)), text)
    if (changed := _FELL_TO.search(bare)) and (now := value_of(changed.group(1))) is not None:
        return [(now, changed.start(1), changed.end(1))]
    found: list[Reading] = []
    for match in _SCORE.finditer(bare):
        words = match.group(1)
        if (
            words in ("이", "일", "오", "사", "너", "한", "두", "세", "네", "시")
            and match.group(2) in ("", " ", "요")
            and len(bare.strip()) > 14
            and (words in ("한", "이", "네") or not re.search(r"점|은 |는 ", bare))
        ):
            continue
        if words in ("한", "네") and match.group(2) not in ("점", "쩜"):
            continue
        if re.fullmatch(_PAIR, words):
            value: float | None = ((value_of(words[0]) or 0) + (value_of(words[1]) or 0)) / 2
        else:
            value = _FEW.get(words, value_of(words))
        if value is not None and 0 <= value <= 10:
            found.append((value, match.start(1), match.end(1)))
    if found:
        return found
    if none := _NO_PAIN.search(bare):
        return [(0.0, *none.span())]
    if half := _HALF_OF_SCALE.search(bare):
        return [(5.0, *half.span())]
    if worst := _WORST.search(text):
        return [(10.0, *worst.span())]
    return []


_EARLIER = re.compile(
    r"(?:어제|그제|그저께|엊그제|아까|처음|저번|지난번|원래|평소|보통|아침|오전|새벽)[에]?(?:는|은|까지는|까진)"
)
_NOT_THIS = re.compile(r"^\s?[가-힣]{0,3}\s?(?:아니[고라]|말고)")


def number_in(text: str, unit: Unit) -> Reading | None:
    """The number that the reply gives in the unit; a corrected or later one wins. None when there is none."""
    match unit:
        case Unit.CELSIUS | Unit.FAHRENHEIT:
            found = [(_degrees(value, unit), start, end) for value, start, end in temperatures(text)]
        case Unit.HOURS:
            found = hours(text)
        case Unit.MEALS:
            found = meals(text)
        case Unit.SCORE_0_10:
            found = scores(text)
    kept = [each for each in found if not _NOT_THIS.match(text[each[2] : each[2] + 10])] or found
    if not kept:
        return None
    if len(kept) > 1:
        now = [each for each in kept if not _EARLIER.search(text[max(0, each[1] - 14) : each[1]])]
        kept = now or kept
    value, start, end = kept[-1]
    return round(value, 2), start, end


def _degrees(value: float, unit: Unit) -> float:
    if unit is Unit.CELSIUS and value > 60:
        return (value - 32) * 5 / 9
    if unit is Unit.FAHRENHEIT and value < 60:
        return value * 9 / 5 + 32
    return value
