"""Reads a YAML file that nobody vouches for: plain values, the line of each, and what is wrong."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16

Value = dict[str, "Value"] | list["Value"] | str | int | float | bool | None
Location = tuple[str | int, ...]  # keys and indexes from the root

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{1,18}")
_UNSPEAKABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong, and how to mend it."""

    line: int  # from 1
    text: str


@dataclass(slots=True)
class Source:
    """What a file holds. ``value`` is None when it could not be read to the end; then ``problems`` says why."""

    value: Value = None
    lines: dict[Location, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, location: Location) -> int:
        """The line (from 1) of what stands at the location, else of the nearest thing around it."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)


class _Unreadable(Exception):
    """The rest of the file cannot be read."""


def read_yaml(path: Path) -> Source:
    """The content of a YAML 1.2 file: mappings with text keys, lists, text, numbers, true, false, null.

    Refused: more than MAX_BYTES, nesting deeper than MAX_DEPTH, anchors, aliases, tags, merge keys, a second document.
    Raises OSError when the file cannot be opened.
    """
    source = Source()
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        source.problems.append(Problem(1, f"the file is larger than {MAX_BYTES // 1024} KiB; make it smaller"))
        return source
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        source.problems.append(Problem(line, "the text is not UTF-8; save the file as UTF-8"))
        return source
    try:
        source.value = _document(YAML(typ="safe", pure=True).parse(text), source)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join((error.problem or "cannot be read").split())
        source.problems.append(
            Problem(
                mark.line + 1 if mark else 1,
                f"not YAML: {what}; look at this line's and the last line's spaces and quotes",
            )
        )
    except YAMLError as error:
        character = " ".join(str(error).split())
        source.problems.append(Problem(1, f"not YAML: {character}; take the character out"))
    except _Unreadable:
        source.value = None
    return source


def _document(events: Iterator[Event], source: Source) -> Value:
    value: Value = None
    documents = 0
    for event in events:
        if isinstance(event, DocumentStartEvent):
            documents += 1
            if documents > 1:
                _stop(event, "a second document starts here; keep one to a file", source)
        elif isinstance(event, MappingStartEvent | SequenceStartEvent | ScalarEvent | AliasEvent):
            source.lines[()] = event.start_mark.line + 1
            value = _node(event, events, (), source)
    return value


def _node(event: Any, events: Iterator[Event], at: Location, source: Source) -> Value:
    if len(at) > MAX_DEPTH:
        _stop(event, f"nested deeper than {MAX_DEPTH} levels; make it flatter", source)
    if isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None:
        _stop(
            event, "anchors (&) and aliases (*) are not taken; write the value out, or put the text in quotes", source
        )
    if getattr(event, "tag", None) is not None:
        _stop(event, "tags (!) are not taken; take it away, or put the text in quotes", source)
    if isinstance(event, MappingStartEvent):
        return _mapping(events, at, source)
    if isinstance(event, SequenceStartEvent):
        items: list[Value] = []
        for item in events:
            if isinstance(item, SequenceEndEvent):
                break
            here = (*at, len(items))
            source.lines[here] = item.start_mark.line + 1
            items.append(_node(item, events, here, source))
        return items
    if unspeakable := _UNSPEAKABLE.search(event.value):
        character = f"U+{ord(unspeakable[0]):04X}"
        source.problems.append(
            Problem(event.start_mark.line + 1, f"the text has the character {character}; take it out")
        )
        return ""
    return _scalar(event)


def _mapping(events: Iterator[Event], at: Location, source: Source) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for key in events:
        if isinstance(key, MappingEndEvent):
            break
        if not isinstance(key, ScalarEvent) or key.anchor is not None or key.tag is not None:
            _stop(key, "a key must be a plain word; put text that starts with a bracket or a brace in quotes", source)
        name = _UNSPEAKABLE.sub("?", key.value)
        line = key.start_mark.line + 1
        here = (*at, name)
        if name in values:
            source.problems.append(Problem(line, f"`{name}` is given twice; keep one"))
        else:
            source.lines[here] = line
        value = _node(next(events), events, here, source)
        values.setdefault(name, value)
    return values


def _scalar(event: Any) -> Value:
    text: str = event.value
    if event.style is not None:
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    return text


def _stop(event: Any, text: str, source: Source) -> NoReturn:
    source.problems.append(Problem(event.start_mark.line + 1, text))
    raise _Unreadable


def shown(value: object) -> str:
    """A wrong value as a problem quotes it, cut to forty characters."""
    if value is None or value in ([], (), {}):
        return "empty"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dict):
        return "a group of keys"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text if len(text) <= 40 else text[:39] + '…'}`"
