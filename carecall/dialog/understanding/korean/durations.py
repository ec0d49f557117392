"""How long ago something began, as it is said in Korean, in whole days."""

import datetime
import re

from carecall.dialog.understanding.korean.numbers import value_of

_DAYS = {
    "하루": 1, "이틀": 2, "사흘": 3, "나흘": 4, "닷새": 5, "엿새": 6, "이레": 7, "여드레": 8, "아흐레": 9, "열흘": 10,
    "보름": 15, "스무날": 20, "이삼일": 2, "삼사일": 3, "사오일": 4, "사나흘": 3, "네댓새": 4, "대엿새": 5,
    "예니레": 6,
}  # fmt: skip
_AGO = [
    (re.compile(r"그+\s?끄저께|그끄제|그끄저께|그그저께|그그제|긋그저께|저그저께"), 3),
    (re.compile(r"엊?그저께|그제(?!야)|아레(?![가-힣])|그저끄|그지께|엊그제|엊그저께|그즈께"), 2),
    (re.compile(r"어제|어젯밤|어저께|엊저녁|간밤|지난밤|어저녁|어지께|어즈께|밤새"), 1),
    (re.compile(r"오늘|아까|방금|조금 ?전|좀 ?전|새벽부터|아침부터|아침에 일어|점심 ?때부터|지금 ?막|자고 ?일어나"), 0),
]
_WEEKDAY = {"월": 0, "화": 1, "수": 2, "목": 3, "금": 4, "토": 5, "일": 6}
_NUM = r"[0-9]{1,3}|[일이삼사오육칠팔구십백]{1,4}|한|두|세|석|넉|네|서너|두어|두세|한두|다섯|여섯|일곱|여덟|아홉|열|몇"
_COUNTED = re.compile(rf"(?<![가-힣0-9])({_NUM})\s?(일|날|주일|주|달|개월|년|해|시간)(?!요일|월)(?=[\s가-힣]|$)")
_WEEK = re.compile(r"일주일|한\s?주일?|1주일?|(?<![가-힣])이레|지난\s?주쯤")
_DAY_NAME = re.compile(
    r"(지지난\s?주|저저번\s?주|지난\s?주|저번\s?주|이번\s?주|금주|지난번)?\s?(?:에\s?)?([월화수목금토일])요일"
)
_DATE = re.compile(
    r"(?:([0-9]{1,2}|[일이삼사오육칠팔구십]{1,2})\s?월\s?)?(?<![가-힣0-9])([0-9]{1,2}|[일이삼사오육칠팔구십]{1,4})\s?일(?=\s?(?:부터|날|에|쯤|경|이|요|저녁|아침|밤|새벽|$))(?!\s?(?:전|째|됐|정도|동안|간))"
)
_FEW = {"한두": 1.5, "두세": 2.5, "두어": 2.0, "서너": 3.5}
_NOT_THIS = re.compile(r"^\s?[가-힣]{0,4}\s?(?:아니[고라]|아이[고라]|말고)|^[가-힣]{0,3}\s?아니[,\s]")
_DAYS_OF = {"일": 1, "날": 1, "주일": 7, "주": 7, "달": 30, "개월": 30, "년": 365, "해": 365, "시간": 0}

Reading = tuple[int, int, int]


def days_in(text: str, today: datetime.date) -> Reading | None:
    """Whole days from the first day to today, and where it is said; a later statement wins. None: not said."""
    found: list[Reading] = []
    taken: list[tuple[int, int]] = []

    def add(days: int, start: int, end: int) -> None:
        if days >= 0 and not any(start < last and first < end for first, last in taken):
            taken.append((start, end))
            found.append((days, start, end))

    for match in _DAY_NAME.finditer(text):
        add(_since_day(today, match.group(1), _WEEKDAY[match.group(2)]), *match.span())
    for match in _WEEK.finditer(text):
        add(7, *match.span())
    for match in re.finditer(
        r"(?<![가-힣])(하루|이틀|사흘|나흘|닷새|엿새|이레|여드레|아흐레|열흘|보름|스무날|이삼일|삼사일|사오일|"
        r"사나흘|네댓새|대엿새|예니레)",
        text,
    ):
        add(_DAYS[match.group(1)], *match.span())
    for match in _COUNTED.finditer(text):
        words, unit = match.group(1), match.group(2)
        if words == "몇" or (unit == "일" and re.match(r"\s?(?:부터|저녁부터|날부터)", text[match.end() :])):
            continue
        number = _FEW.get(words, value_of(words))
        if number is not None:
            add(int(number * _DAYS_OF[unit]), *match.span())
    for match in _DATE.finditer(text):
        day = value_of(match.group(2))
        month = value_of(match.group(1).replace("유", "육").replace("시", "십")) if match.group(1) else None
        if day is not None and (days := _since_date(today, month, int(day))) is not None:
            add(days, *match.span())
    for pattern, days in _AGO:
        for match in pattern.finditer(text):
            add(days, *match.span())
    if re.search(r"지난\s?주말", text) and not found:
        match_weekend = re.search(r"지난\s?주말", text)
        if match_weekend:
            add(today.weekday() + 2, *match_weekend.span())
    found = [each for each in found if not _NOT_THIS.match(text[each[2] : each[2] + 12])] or found
    if not found:
        return None
    begun = [each for each in found if re.match(r"[가-힣\s]{0,8}(?:부터|전|째|됐|되|쯤|이후)", text[each[2] :])]
    pool = sorted(begun or found, key=lambda each: each[1])
    return pool[-1]


def _since_day(today: datetime.date, week: str | None, weekday: int) -> int:
    back = (today.weekday() - weekday) % 7
    this_week = (week or "").replace(" ", "") in ("이번주", "금주")
    if this_week:
        return back
    if week and week.replace(" ", "") in ("지지난주", "저저번주"):
        return today.weekday() - weekday + 14
    if week:
        return today.weekday() - weekday + 7
    return back or 7


def _since_date(today: datetime.date, month: float | None, day: int) -> int | None:
    year, number = today.year, int(month) if month else today.month
    for _ in range(13):
        try:
            date = datetime.date(year, number, day)
        except ValueError:
            date = None
        if date is not None and date <= today:
            return (today - date).days
        if month:
            year -= 1
        else:
            year, number = (year, number - 1) if number > 1 else (year - 1, 12)
        if year < today.year - 1:
            return None
    return None
