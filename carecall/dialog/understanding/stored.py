"""Reads an understanding as the store keeps it: the JSON of its fields."""

from dataclasses import replace

from pydantic import TypeAdapter, ValidationError

from carecall.dialog.understanding.meaning import Understanding
from carecall.domain.finding import Ternary

_ADAPTER = TypeAdapter(Understanding)
_TERNARY = set(Ternary)


def parse_understanding(stored: str) -> Understanding | None:
    """The understanding; None for what is none, as another version of the program may have written it."""
    try:
        understanding = _ADAPTER.validate_json(stored)
    except ValidationError:
        return None
    answer = understanding.answer
    if answer is None or not isinstance(answer.value, str) or answer.value not in _TERNARY:
        return understanding
    return replace(understanding, answer=replace(answer, value=Ternary(answer.value)))
