"""Korean sentences as content words, by morphological analysis."""

from collections.abc import Iterator
from functools import cache
from typing import Any

_NOUNS = ("NNG", "NNP", "XR", "SL", "SN")
_VERBS = ("VV", "VA")


@cache
def _analyser() -> Any:
    from kiwipiepy import Kiwi

    return Kiwi(num_workers=1)


def stems(text: str) -> Iterator[tuple[str, int, int, bool]]:
    """The content words: stem, start and end in the text, and whether it is a verb."""
    for token in _analyser().tokenize(text):
        if token.tag.startswith(_NOUNS + _VERBS):
            yield token.form, token.start, token.start + token.len, token.tag.startswith(_VERBS)
