"""Red flags in English speech: danger that is there now, for the recipient or someone at home with them."""

import re
from collections.abc import Iterator, Mapping, Sequence

from carecall.dialog.red_flags import RedFlagPhrases
from carecall.dialog.understanding.english.spoken import Clause, Spoken
from carecall.dialog.understanding.lexicon import Lexicon
from carecall.dialog.understanding.meaning import RedFlagReading

_NEGATED = re.compile(
    r"\b(?:no|not|never|none|nothing|nobody|no one|without|nearly|almost|hardly ever|free of|neither|"
    r"nor)(?: \w+){0,4} $"
)
_NEGATED_FIRMLY = re.compile(r"\b(?:no|never|nobody|without|(?:do|did|have|am|has|is|was|are) not)(?: \w+){0,5} $")
_SETTLED = re.compile(
    r"\b(?:fine now|all right now|okay now|better now|gone now|stopped now|came right|right as rain|it passed|"
    r"(?:got|went|got straight|got right|got myself) (?:straight |right |back )*up again|"
    r"got straight back up|got back up|"
    r"has stopped|(?:it|that|they|pain|all|now) (?:is |are |has |s )?(?:all )?gone(?! (?:blue|dead|"
    r"numb|tight|black|limp))|went away|cleared up|stopped in no time|over now|back to normal|fixed|"
    r"sorted|mended|"
    r"healed|home now|fine again|wore off|came back on|back on now)\b"
)
_SCOPE = 160  # characters: how far a sentence without punctuation explains what is said in it
_MEMORY = 60  # characters: how far "years ago" reaches forward


class Dangers:
    """Finds red flags by their phrases."""

    def __init__(self, lexicon: Lexicon, flags: Mapping[str, RedFlagPhrases]) -> None:
        self._flags = flags
        self._list = lexicon.phrases

    def read(self, spoken: Spoken) -> tuple[RedFlagReading, ...]:
        """The red flags of a reply, in the order of the file, each once."""
        text = self._list("danger_idioms").mask(spoken.text)
        return tuple(self._read(spoken, text))

    def _read(self, spoken: Spoken, text: str) -> Iterator[RedFlagReading]:
        for name, phrases in self._flags.items():
            matches = phrases.patterns.finditer(text)
            match = next((match for match in matches if self._is_now(spoken, text, phrases, match)), None)
            if match is not None:
                yield RedFlagReading(name, spoken.quote(match.start(), match.end()))

    def _is_now(self, spoken: Spoken, text: str, phrases: RedFlagPhrases, match: re.Match[str]) -> bool:
        """Whether the words mean a danger that is there now, with the recipient or someone at home with them."""
        clause = spoken.clause_at(match.start())
        near = spoken.clauses_between(match.start() - _SCOPE, match.end() + _SCOPE)
        sentence = [each for each in near if each.sentence == clause.sentence]
        begin, end = sentence[0].start, max(sentence[-1].end, match.end())
        return not (
            phrases.unless.search(text, begin, end)
            or self._is_denied(text, clause, match)
            or self._is_elsewhere(sentence, text, clause, match)
            or self._is_past(text, match, begin, end)
        )

    def _is_denied(self, text: str, clause: Clause, match: re.Match[str]) -> bool:
        begin = min(clause.start, match.start())
        own_negation = re.match(r"(?:\w+ ){0,3}(?:not|no|nothing|never|nobody)\b", match[0])
        pattern = _NEGATED_FIRMLY if own_negation else _NEGATED
        before = self._list("not_negations").mask(text[begin : match.start()])
        denial = pattern.search(before)
        return denial is not None and not re.search(r"\b(?:but|just|because|and)\b", before[denial.start() :])

    def _is_elsewhere(self, near: Sequence[Clause], text: str, clause: Clause, match: re.Match[str]) -> bool:
        begin = min(clause.start, match.start())
        others = max((each.end() for each in self._list("elsewhere").finditer(text, begin, match.end())), default=-1)
        selves = max((each.end() for each in self._list("selves").finditer(text, begin, match.end())), default=-1)
        if others < 0:
            sentence = [each for each in near if each.end < begin]
            third = re.match(r"(?:\w+ ){0,3}(?:he|she|they|him|her|his|them|their)\b", text[begin : match.end()])
            if sentence and third:
                return any(self._list("elsewhere").search(text, each.start, each.end) for each in sentence)
            screen = self._list("screen").search(text, max(begin - _SCOPE, 0), match.end() + _SCOPE)
            return screen is not None and selves < 0
        return others > selves or self._list("screen").search(text, begin, clause.end) is not None

    def _is_past(self, text: str, match: re.Match[str], begin: int, end: int) -> bool:
        if self._list("still").search(match[0]) or re.search(
            r"\b(?:still|again|right now|at the moment|just now|now (?:i|my|he|she|it|the))\b", text[begin:end]
        ):
            return False
        if self._list("past_far").search(text, max(begin, match.start() - _MEMORY), end):
            return True
        if _SETTLED.search(text, match.end(), end):
            return True
        return bool(self._list("settled").search(text, match.end(), match.end() + _SCOPE))
