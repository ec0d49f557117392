"""Which of a question's choices an English reply takes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from carecall.dialog.definition import Choice
from carecall.dialog.understanding.english.spoken import Spoken
from carecall.dialog.understanding.lexicon import Lexicon, Phrases

_DENIES = re.compile(
    r"\b(?:not|no|never|nor|neither|without|hardly|anything but|than|rather than|instead of)(?: \w+){0,2} $"
)
_ORDER = ("first", "second", "third", "fourth")
_SMALL_WORDS = frozenset(
    ["a", "an", "the", "of", "or", "and", "to", "in", "at", "about", "my", "some", "somewhere", "else"]
)


@dataclass(frozen=True, slots=True)
class Chosen:
    id: str
    start: int
    end: int


class Choices:
    """Finds the chosen one by what each choice is commonly called."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon

    def read(self, spoken: Spoken, choices: Sequence[Choice]) -> Chosen | None:
        """The choice that is named last and not denied; the longest wording decides where several overlap."""
        found: list[Chosen] = []
        for choice in choices:
            for phrases in self._names(choice):
                found += [
                    Chosen(choice.id, match.start(), match.end())
                    for match in phrases.finditer(spoken.text)
                    if not _DENIES.search(spoken.text, spoken.clause_at(match.start()).start, match.start())
                    or match[0].startswith(("no", "not"))
                ]
        kept = [
            each
            for each in found
            if not any(
                other.id != each.id
                and other.start < each.end
                and each.start < other.end
                and (other.end - other.start > each.end - each.start)
                for other in found
            )
        ]
        for index, word in enumerate(_ORDER[: len(choices)]):
            if match := re.search(rf"\b(?:the )?{word} one\b", spoken.text):
                kept.append(Chosen(choices[index].id, match.start(), match.end()))
        if not kept:
            return None
        specific = [each for each in kept if each.id != "other"] or kept
        current = [each for each in specific if not self._past(spoken, each)] or specific
        corrected = re.search(r"\b(?:no|actually|or rather|make that|but now|wait)\b", spoken.text)
        best = max(current, key=lambda each: (corrected is not None and each.start, each.end - each.start, -each.start))
        return best if len({each.id for each in current}) <= 2 else None

    def _names(self, choice: Choice) -> list[Phrases]:
        words = [word for word in re.findall(r"[a-z]+", choice.label.lower()) if word not in _SMALL_WORDS]
        own = [re.escape(choice.label.lower())] + [rf"\b{word}\b" for word in words if len(words) == 1]
        names = [Phrases([rf"\b{each}\b" for each in own])]
        for concept in dict.fromkeys([choice.id, *words]):
            phrases = self._lexicon.lists.get(f"choice_{concept}")
            if phrases is not None:
                names.append(phrases)
        return names

    def _past(self, spoken: Spoken, chosen: Chosen) -> bool:
        clause = spoken.clause_at(chosen.start)
        return bool(
            re.search(
                r"\b(?:was|were|used to|yesterday was|had been|last week)\b", spoken.text[clause.start : chosen.start]
            )
        )
