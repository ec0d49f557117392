"""Since when: whole days from the day something began to the day of the call, in English speech."""

import datetime
import re
from dataclasses import dataclass

from carecall.dialog.understanding.english.numbers import numbers_in
from carecall.dialog.understanding.english.spoken import Spoken

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY = "|".join(_DAYS)
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_ORDINALS = {
    name: number
    for number, name in enumerate(
        (
            *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"),
            *("eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth"),
            *("eighteenth", "nineteenth", "twentieth"),
        ),
        start=1,
    )
} | {"thirtieth": 30}
_WEEKDAY = re.compile(
    rf"\b(?:(a) week (?:ago )?(?:last|on|past|come)? ?|(last|this past|past|this) (?:week )?|)({_DAY})"
    r"(?: (gone|past|just gone|week|last|before last|of last week|last week|this week|the \w+))?\b"
)
_COUNT = (
    r"(?:\d+|a|an|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|"
    r"twenty|thirty|a couple(?: of)?|couple(?: of)?|a few|half a|the other)"
)
_SPAN = re.compile(
    rf"\b({_COUNT})(?: or (?:so|two|three|four|five|six))?(?: (?:good|full|whole|solid|"
    rf"or so))* (days?|nights?|weeks?|months?|fortnights?|hours?|mornings?)\b"
)
_SIMPLE: tuple[tuple[str, int], ...] = (
    (r"day before yesterday|night before last|morning before last", 2),
    (r"yesterday|last night|last evening", 1),
    (
        r"today|this (?:morning|afternoon|evening)|just now|tonight|when i (?:woke|got) up|woke up with|on waking|"
        r"(?:an|a few|few|couple of|\w+) hours? ago|(?:few|\w+) minutes ago|first thing|at breakfast|"
        r"at lunch|after lunch|"
        r"after breakfast|in the night|overnight|right now|earlier on",
        0,
    ),
    (
        r"(?:a |about a |over a |bout a |past |last |all |this past |the past |"
        r"whole )week(?! ago (?:last|on|mon|tue|wed|thu|fri|sat|sun))",
        7,
    ),
    (r"fortnight", 14),
)


@dataclass(frozen=True, slots=True)
class Duration:
    days: int
    start: int
    end: int


def read_duration(spoken: Spoken, today: datetime.date) -> Duration | None:
    """Days since the beginning that the reply names. None when it names none. The last one named wins."""
    text = spoken.text
    found = [Duration(_weekday(today, match), match.start(), match.end()) for match in _WEEKDAY.finditer(text)]
    found += [
        Duration(days, match.start(), match.end())
        for match in _SPAN.finditer(text)
        if (days := _span(match)) is not None
    ]
    for pattern, days in _SIMPLE:
        found += [
            Duration(days, match.start(), match.end())
            for match in re.finditer(rf"\b(?:{pattern})\b", text)
            if not any(each.start < match.end() and match.start() < each.end for each in found)
        ]
    if not found and re.search(
        r"\bover the weekend|at the weekend|on the weekend|this weekend|last weekend|weekend\b", text
    ):
        match_ = re.search(r"weekend", text)
        if match_:
            found.append(Duration((today.weekday() - 5) % 7, match_.start(), match_.end()))
    found += _dates(text, today)
    found = [
        each
        for each in found
        if not re.search(r"\b(?:not|before that|never)(?: (?:on|since|until|till))? $", text[: each.start])
    ]
    if not found:
        return None
    found.sort(key=lambda each: each.start)
    corrected = re.search(r"\b(?:no|wait|sorry|actually|i mean|make that|tell a lie)\b", text)
    if corrected:
        later = [each for each in found if each.start > corrected.start()]
        if later:
            return later[-1]
    return _most_precise(text, found)


def _most_precise(text: str, found: list[Duration]) -> Duration:
    """What "since" or "ago" stands with; else the first, for what follows tends to tell of its course."""
    for each in found:
        before, after = text[max(0, each.start - 24) : each.start], text[each.end : each.end + 8]
        if re.search(
            r"\b(?:since|started|began|start|came on|from|begun|first|it was) (?:\w+ ){0,2}$", before
        ) or after.startswith((" ago", " back", " since", " now")):
            return each
    return found[0]


def _weekday(today: datetime.date, match: re.Match[str]) -> int:
    index = _DAYS.index(match[3])
    back = (today.weekday() - index) % 7
    if match[1] or match[4] in ("week", "before last"):
        return back + 7 if back else 7
    if (match[2] == "last" and "past" not in match[0]) or match[4] in ("of last week", "last week", "last"):
        monday = today - datetime.timedelta(days=today.weekday() + 7)
        return (today - (monday + datetime.timedelta(days=index))).days
    return back or (7 if match[4] in ("gone", "past", "just gone") else 0)


def _span(match: re.Match[str]) -> int | None:
    count, unit = match[1], match[2]
    if count == "the other":
        return None
    if count in ("a few",):
        return None if not unit.startswith("hour") else 0
    if count.startswith(("a couple", "couple")):
        number = 2.0
    elif count in ("a", "an"):
        number = 1.0
    elif count == "half a":
        number = 0.5
    else:
        number = numbers_in(count)[0].value
    if unit.startswith("hour"):
        return int(number // 24)
    scale = {"day": 1, "nigh": 1, "morn": 1, "week": 7, "mont": 30, "fort": 14}[unit[:4].rstrip("s")]
    return round(number * scale)


def _dates(text: str, today: datetime.date) -> list[Duration]:
    found = []
    ordinal = "|".join(_ORDINALS)
    number = rf"(?:(?:twenty|thirty) )?(?:{ordinal})|\d{{1,2}}(?: ?(?:st|nd|rd|th))?|twenty \w+"
    for match in re.finditer(
        rf"\b(?:({'|'.join(_MONTHS)}) (?:the )?({number})|(?:the )({number})(?: of ({'|'.join(_MONTHS)}))?)\b", text
    ):
        month_name, day_words = match[1] or match[4], match[2] or match[3]
        day = _day_of_month(day_words)
        if day is None:
            continue
        month = _MONTHS.index(month_name) + 1 if month_name else today.month
        date = _latest(day, month, month_name is not None, today)
        if date is not None:
            found.append(Duration((today - date).days, match.start(), match.end()))
    return found


def _day_of_month(words: str) -> int | None:
    digits = re.match(r"\d{1,2}", words)
    if digits:
        return int(digits[0])
    parts = words.split()
    if parts[-1] not in _ORDINALS:
        return None
    return {"twenty": 20, "thirty": 30}.get(parts[0], 0) * (len(parts) > 1) + _ORDINALS[parts[-1]]


def _latest(day: int, month: int, named: bool, today: datetime.date) -> datetime.date | None:
    """The latest such date that is not after today."""
    for back in range(13):
        year = today.year if named and back == 0 else today.year - (1 if named else 0)
        at = month if named else (today.month - back - 1) % 12 + 1
        if not named and today.month - back < 1:
            year = today.year - 1
        elif not named:
            year = today.year
        try:
            date = datetime.date(year, at, day)
        except ValueError:
            continue
        if date <= today:
            return date
    return None
