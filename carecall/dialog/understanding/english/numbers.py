"""Numbers in English speech: digits, number words, temperatures, hours, meals and scores."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from carecall.dialog.understanding.english.spoken import Spoken
from carecall.domain.finding import Unit

_UNITS = {
    name: value
    for value, names in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
    for name in (names,)
} | {"nought": 0, "naught": 0, "nil": 0, "oh": 0, "o": 0}
_TENS = {
    name: value
    for value, name in zip(
        range(20, 100, 10), ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], strict=True
    )
} | {"fourty": 40}
_SMALL = "|".join(sorted(_UNITS, key=len, reverse=True))
_TEN = "|".join(_TENS)
_NUMBER = re.compile(
    rf"\b(?:\d+(?:[.,]\d+)?|(?:a |one |1 )?hundred|{_TEN}|{_SMALL})"
    rf"(?: (?:and(?! a half| a quarter| three quarters)|point|a hundred|hundred|{_TEN}|{_SMALL}|"
    rf"\d+(?:[.,]\d+)?|dot)(?= |$))*"
    r"(?: and (?:a half|a quarter|three quarters))?\b"
)
_COUNTS = {
    "once": 1.0,
    "twice": 2.0,
    "thrice": 3.0,
    "a couple": 2.0,
    "couple": 2.0,
    "a pair": 2.0,
    "half a dozen": 6.0,
    "a dozen": 12.0,
}
_COUNT = re.compile(r"\b(?:once|twice|thrice|half a dozen|a dozen|a couple|couple|a pair)\b")


@dataclass(frozen=True, slots=True)
class Number:
    """A number said at [start, end) of the normal form."""

    value: float
    start: int
    end: int


def numbers_in(text: str, temperature: bool = False) -> list[Number]:
    """All numbers of the text in order. With ``temperature``, "ninety eight six" is 98.6 and "one oh two" 102."""
    found: list[Number] = []
    for match in _NUMBER.finditer(text):
        begin = match.start()
        for words in _runs(match[0].split()):
            start = text.index(words[0], begin)
            end = start + len(" ".join(words))
            begin = end
            value = _value(words, temperature)
            if value is not None:
                found.append(Number(value, start, end))
    for match in _COUNT.finditer(text):
        if not any(each.start < match.end() and match.start() < each.end for each in found):
            found.append(Number(_COUNTS[match[0]], match.start(), match.end()))
    return sorted(found, key=lambda each: each.start)


def _runs(words: list[str]) -> list[list[str]]:
    """Splits "and" that joins two numbers from "and" inside one ("a hundred and one"; "two and three")."""
    runs: list[list[str]] = [[]]
    for index, word in enumerate(words):
        rest = words[index + 1 :]
        if (word == "and" and rest[:1] not in (["a"], ["three"]) and "hundred" not in runs[-1]) or (
            word == "and"
            and rest[:2] not in (["a", "half"], ["a", "quarter"], ["three", "quarters"])
            and "hundred" not in runs[-1]
        ):
            runs.append([])
        else:
            runs[-1].append(word)
    return [run[:-1] if run and run[-1] == "and" else run for run in runs if run and run != ["and"]]


def _value(words: Sequence[str], temperature: bool) -> float | None:
    extra = 0.0
    text = " ".join(words)
    for phrase, part in ((" and a half", 0.5), (" and a quarter", 0.25), (" and three quarters", 0.75)):
        if text.endswith(phrase):
            text, extra = text.removesuffix(phrase), part
    words = [word for word in text.split() if word not in ("and", "a")]
    if not words:
        return None
    if "point" in words or "dot" in words:
        at = words.index("point") if "point" in words else words.index("dot")
        whole = _whole(words[:at]) if at else 0.0
        digits = "".join(_digits(word) for word in words[at + 1 :])
        if whole is None or not digits.isdigit():
            return whole
        return float(f"{int(whole)}.{digits}") + extra
    if temperature and len(words) >= 2:
        value = _temperature(words)
        if value is not None:
            return value + extra
    whole = _whole(words)
    return None if whole is None else whole + extra


def _digits(word: str) -> str:
    if word in _UNITS:
        return str(_UNITS[word])
    return str(_TENS[word] // 10) if word in _TENS else word


def _whole(words: Sequence[str]) -> float | None:
    if len(words) == 1 and words[0][0].isdigit():
        return float(words[0].replace(",", "."))
    total, last = 0.0, ""
    for word in words:
        if word == "hundred":
            total = (total or 1) * 100
        elif word in _TENS:
            if last in _TENS or last in _UNITS:
                return float(total)
            total += _TENS[word]
        elif word in _UNITS:
            if last in _UNITS:
                return float(_UNITS[words[-1]]) if words[-1] in _UNITS else total
            total += _UNITS[word]
        elif word[0].isdigit():
            total += float(word.replace(",", "."))
        last = word
    return total


def _temperature(words: Sequence[str]) -> float | None:
    """ "ninety eight six", "thirty six nine", "one oh two", "one oh one five", "a hundred two four"."""
    if words[0] in _TENS and _TENS[words[0]] in (30, 40, 90):
        base = _TENS[words[0]]
        rest = list(words[1:])
        if rest and rest[0] in _UNITS and 0 < _UNITS[rest[0]] < 10:
            base += _UNITS[rest.pop(0)]
        if len(rest) == 1 and rest[0] in _UNITS and _UNITS[rest[0]] < 10:
            return base + _UNITS[rest[0]] / 10
        return float(base) if not rest else None
    if words[0] in ("one", "hundred") and len(words) >= 2:
        rest = list(words[1:])
        if words[0] == "one":
            if rest[0] not in ("oh", "o", "zero", "nought", "hundred"):
                return None
            rest = rest[1:]
        base = 100
        if rest and rest[0] in _UNITS and _UNITS[rest[0]] < 10:
            base += _UNITS[rest.pop(0)]
        if len(rest) == 1 and rest[0] in _UNITS and _UNITS[rest[0]] < 10:
            return base + _UNITS[rest[0]] / 10
        return float(base) if not rest else None
    if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and len(words[1]) == 1:
        return float(f"{words[0]}.{words[1]}")
    return None


_EARLIER = re.compile(
    r"\b(?:was|were|had|used to|yesterday|earlier|before|last|this morning|first|initially|started|normally|usually|"
    r"ago|monday|tuesday|wednesday|thursday|friday|saturday|sunday)\b"
)
_NOW = re.compile(r"\b(?:now|today|currently|at the moment|this minute|down to|up to|gone (?:up|down)|just)\b")
_CORRECTED = re.compile(
    r"\b(?:no|sorry|wait|i mean|actually|make that|rather|correction|tell a lie|or rather|scratch that)\b"
)
_DENIED = re.compile(r"\b(?:not|never|no way|than|out of|from|scale of)\s(?:a |an |the |zero to |nought to )?$")
_PLAUSIBLE = {
    Unit.CELSIUS: (33.0, 43.5),
    Unit.FAHRENHEIT: (91.0, 111.0),
    Unit.HOURS: (0.0, 24.0),
    Unit.MEALS: (0.0, 10.0),
    Unit.SCORE_0_10: (0.0, 10.0),
}


def read_number(spoken: Spoken, unit: Unit | None) -> Number | None:
    """The number the reply gives in the unit; a corrected or later value wins. None when it gives none."""
    text = spoken.text
    match unit:
        case Unit.CELSIUS | Unit.FAHRENHEIT:
            return _read_temperature(spoken, unit)
        case Unit.HOURS:
            return _read_hours(spoken)
        case Unit.MEALS:
            return _read_meals(spoken)
        case Unit.SCORE_0_10:
            number = _chosen(spoken, [each for each in numbers_in(text) if 0 <= each.value <= 10], scale=True)
            if number is None and (none := _NO_PAIN.search(text)):
                return Number(0, none.start(), none.end())
            return number
        case None:
            return _chosen(spoken, numbers_in(text))


_NO_PAIN = re.compile(
    r"\b(?:no pain|none|nothing|not (?:a twinge|at all|any pain|in any pain|hurting)|pain free|zilch|nada)\b"
)


def _read_temperature(spoken: Spoken, unit: Unit) -> Number | None:
    wanted, other = _PLAUSIBLE[unit], _PLAUSIBLE[Unit.FAHRENHEIT if unit is Unit.CELSIUS else Unit.CELSIUS]
    found: list[Number] = []
    for each in numbers_in(spoken.text, temperature=True):
        value = each.value
        if 330 <= value <= 435 or 910 <= value <= 1110:
            value /= 10
        if wanted[0] <= value <= wanted[1]:
            found.append(Number(value, each.start, each.end))
        elif other[0] <= value <= other[1]:
            value = (value - 32) * 5 / 9 if unit is Unit.CELSIUS else value * 9 / 5 + 32
            found.append(Number(round(value, 1), each.start, each.end))
    return _chosen(spoken, found)


def _chosen(spoken: Spoken, found: list[Number], scale: bool = False) -> Number | None:
    """The last value, unless it is said of an earlier time, denied, or only the end of the scale."""
    text = spoken.text
    kept = [each for each in found if not _DENIED.search(text[max(0, each.start - 24) : each.start])]
    if scale:
        kept = [
            each for each in kept if not re.match(r" (?:being|is the|means|would be|to ten|to 10)", text[each.end :])
        ]
        kept = [each for each in kept if not (each.value == 1 and _one_as_pronoun(text, each))] or []
    if not kept:
        return None
    current = [each for each in kept if not _is_earlier(spoken, each)]
    return (current or kept)[-1]


def _one_as_pronoun(text: str, number: Number) -> bool:
    return text[number.start : number.end] == "one" and bool(
        re.search(r"(?:the|this|that|a bad|any|no|which|bad|good|old) $", text[: number.start])
        or re.match(r" (?:of|moment|minute|second|sec|day|thing|knee|leg|side|eye)\b", text[number.end :])
    )


def _is_earlier(spoken: Spoken, number: Number) -> bool:
    clause = spoken.clause_at(number.start)
    words = spoken.text[clause.start : clause.end]
    after = spoken.text[number.end : clause.end]
    if _NOW.search(spoken.text[clause.start : number.start]) or re.match(r" (?:now|today|at the moment)", after):
        return False
    return bool(_EARLIER.search(words)) and not _CORRECTED.search(spoken.text[clause.start : number.start])


_CLOCK = re.compile(
    rf"\b(?:(half|quarter) (?:(past|to) )?)?(midnight|noon|midday|\d{{1,2}}(?::\d\d)?|{_SMALL})"
    r"(?: (thirty|fifteen|forty five))?(?: oclock)?(?: (am|pm|a m|p m|in the (?:morning|evening|"
    r"afternoon)|at night))?\b"
)
_SLEEP_START = re.compile(
    r"\b(?:bed|asleep|off|down|retired|turned in|from|nodded|lights out|hay|sack|between|under)\b"
)
_SLEEP_END = re.compile(r"\b(?:up|woke|wake|awake|till|til|until|to|rose|got up|out of bed|rise|alarm|and)\b")
_NO_SLEEP = re.compile(
    r"\b(?:not (?:a|one|had a|got a|sleep a|get a|have a) (?:single )?wink|wink|none(?: at all)?|"
    r"no sleep|never (?:slept|sleep|got any)|not at all|(?:did|have) not (?:sleep|slept)(?: at all| a wink)?$|zero)\b"
)
_FEW = 2  # words
_HOURS = re.compile(r"^(?: or so| or thereabouts| good| solid| full| straight| whole)* hours?\b")
_MINUTES = re.compile(r"^ (?:minutes|mins)\b")


def _read_hours(spoken: Spoken) -> Number | None:
    text = spoken.text
    found = numbers_in(text)
    stated = [each for each in found if _HOURS.match(text[each.end :])]
    if stated:
        return _sum_of_hours(spoken, found, stated)
    if couple := re.search(r"\bcouple (?:of )?hours\b", text):
        return Number(2.0, couple.start(), couple.end())
    if half := re.search(r"\bhalf (?:an|a) hour\b", text):
        return Number(0.5, half.start(), half.end())
    if hour := re.search(r"\b(?:an|a single|one) hour(?: and a half)?\b", text):
        return Number(1.5 if hour[0].endswith("half") else 1.0, hour.start(), hour.end())
    span = _clock_span(text)
    if span is not None:
        return span
    minutes = [each for each in found if _MINUTES.match(text[each.end :])]
    if minutes:
        return Number(minutes[-1].value / 60, minutes[-1].start, minutes[-1].end)
    if none := _NO_SLEEP.search(text):
        return Number(0, none.start(), none.end())
    plain = [
        each
        for each in found
        if 0 <= each.value <= 24
        and not re.search(r"\b(?:at|by|till|until|past|around|since|before|after) $", text[: each.start])
        and not re.match(r" (?:oclock|times|am|pm|blankets|tablets|pills|of|in the)\b", text[each.end :])
    ]
    return _chosen(spoken, plain)


def _sum_of_hours(spoken: Spoken, found: list[Number], stated: list[Number]) -> Number | None:
    text = spoken.text
    chosen = _chosen(spoken, stated)
    if chosen is None:
        return None
    value = chosen.value
    tail = text[chosen.end :]
    if re.match(r"(?: or so)? hours? and a half", tail):
        value += 0.5
    elif re.match(r" hours? and a quarter", tail):
        value += 0.25
    for each in found:
        if each.start > chosen.end and _MINUTES.match(text[each.end :]) and each.start - chosen.end < 16:
            value += each.value / 60
    more = re.search(r"\b(?:another|plus|then|and then|more)\b", text)
    if more and len(stated) == 1 and (extra := re.match(rf".*?\b(?:another|plus) ({_SMALL}|\d+)", text)):
        number = numbers_in(extra[1])
        if number and text.index(extra[1], extra.start(1)) != chosen.start:
            value += number[0].value
    if len(stated) == 2 and re.search(r"\b(?:another|plus|more|then)\b", text[stated[0].end : stated[1].end + 12]):
        value = stated[0].value + stated[1].value
    return Number(value, chosen.start, chosen.end)


def _clock_span(text: str) -> Number | None:
    """Hours from going to sleep to getting up, from two clock times."""
    times: list[tuple[float, str, int, int]] = []
    for match in _CLOCK.finditer(text):
        before = text[max(0, match.start() - 12) : match.start()]
        value = _clock_value(match)
        if value is not None and (
            match[1]
            or re.search(
                r"\b(?:at|by|till|til|until|to|from|around|about|past|and|between|half|at about|up|was|before|"
                r"after|near|nearly|gone) $",
                before,
            )
            or match[3] in ("midnight", "noon", "midday")
            or match[5]
            or match[4]
            or ":" in match[3]
        ):
            times.append((value, match[5] or "", match.start(), match.end()))
    if len(times) < 2:
        return None
    start, end = times[0], times[-1]
    alone = len(text[: start[2]].split()) <= _FEW  # "half past ten till six"
    if not ((alone or _SLEEP_START.search(text[: start[2]])) and _SLEEP_END.search(text[start[3] : end[2]])):
        return None
    difference = (end[0] - start[0]) % 12
    if difference == 0:
        difference = 12
    return Number(difference, start[2], end[3])


def _clock_value(match: re.Match[str]) -> float | None:
    word = match[3]
    if word in ("midnight", "noon", "midday"):
        hour = 12.0
    elif word[0].isdigit():
        parts = word.split(":")
        hour = int(parts[0]) + (int(parts[1]) / 60 if len(parts) > 1 else 0)
    else:
        hour = float(_UNITS[word])
    if not 1 <= hour <= 24:
        return None
    if match[4]:
        hour += {"thirty": 0.5, "fifteen": 0.25, "forty five": 0.75}[match[4]]
    if match[1] == "half":
        hour += 0.5
    elif match[1] == "quarter":
        hour += -0.25 if match[2] == "to" else 0.25
    return hour


_MEAL = re.compile(
    r"\b(?:breakfast|brunch|lunch|dinner|supper|tea(?= time| and breakfast|$| was| s | is)|midday meal|evening meal)\b"
)
_NOT_EATEN = re.compile(
    r"\b(?:skipp?\w*|miss\w*|not|no|still|in the (?:oven|pot)|later|will|going to|about to|yet|"
    r"cooking|waiting|planning|"
    r"soon|before|until|till|forgot|due|coming|next|haven|without|couldn)\b"
)
_NO_MEAL = re.compile(
    r"\b(?:none|nothing(?: at all| yet| today| so far)?|not (?:a|one|had a|eaten a|had any|"
    r"eaten) ?(?:thing|bite|crumb|single one|morsel|yet|at all|anything|today)?|zero|"
    r"(?:have|did) not (?:eaten|eat|had)(?: a thing| anything| at all| yet| today)?$|not eaten)\b"
)
_DISH = re.compile(
    r"\b(?:had|ate|eaten|just|managed|have)(?: \w+){0,4} (?:porridge|oatmeal|cereal|toast|eggs?|soup|sandwich|stew|"
    r"roast|casserole|pie|chicken|fish|pasta|salad|leftovers|beans|pizza|burger|curry|bite|meal|something)\b"
)


def _read_meals(spoken: Spoken) -> Number | None:
    text = spoken.text
    eaten: list[tuple[int, int]] = []
    for match in _MEAL.finditer(text):
        clause = spoken.clause_at(match.start())
        around = text[clause.start : clause.end]
        if not _NOT_EATEN.search(around):
            eaten.append((match.start(), match.end()))
    counted = [
        each
        for each in numbers_in(text)
        if 0 <= each.value <= 10
        and not re.match(
            r" (?:oclock|eggs?|slices?|pieces?|cups?|biscuits|bites?|spoon\w*|sausages|hours?|days?|"
            r"of (?:them|the kids)|sugars|thing)\b",
            text[each.end :],
        )
        and not re.search(r"\b(?:at|around|since|past|till|until) $", text[: each.start])
        and not (
            each.value == 1
            and _one_as_pronoun(text, each)
            and not re.search(r"(?:just|only) the $", text[: each.start])
        )
    ]
    if counted:
        chosen = _chosen_meals(spoken, counted)
        if chosen is not None:
            return chosen
    if eaten:
        return Number(float(len(eaten)), eaten[0][0], eaten[-1][1])
    if none := _NO_MEAL.search(text):
        return Number(0, none.start(), none.end())
    dish = _DISH.search(text)
    if dish and not _NOT_EATEN.search(text):
        return Number(1.0, dish.start(), dish.end())
    return None


def _chosen_meals(spoken: Spoken, counted: list[Number]) -> Number | None:
    text = spoken.text
    if "usual" in text and len(counted) > 1:
        counted = [each for each in counted if "usual" not in text[each.start : each.end + 12]] or counted
    kept = [
        each
        for each in counted
        if not re.search(
            r"\b(?:not|usually|normally|supposed to have|instead of) (?:have |eat |had |eaten )?(?:my |the )?$",
            text[: each.start],
        )
    ]
    return kept[-1] if kept else None
