"""Every action of the audit trail has words in both languages; the codes are collected from where they are written."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import carecall
from carecall.dashboard.words import catalog
from carecall.domain.language import Language
from carecall.exchange.lists import Listing
from carecall.store.tables import HistoryKind

CODE = re.compile(r"(?!carecall|exchange)[a-z_]+\.(?!html)[a-z_]+")  # no name of a meter, words of a page, or template
PUT_TOGETHER = {  # what stands for the part of a code that is filled in
    "work.{}": [
        HistoryKind.ALERT_ACKNOWLEDGED,
        HistoryKind.ALERT_ASSIGNED,
        HistoryKind.ALERT_RESOLVED,
        HistoryKind.CALL_NOW,
        HistoryKind.MANUAL_CALL,
        HistoryKind.NOTE,
        HistoryKind.TASK_CLOSED,
        HistoryKind.TASK_OPENED,
    ],
    "recipient.{}": [HistoryKind.PAUSED, HistoryKind.RESUMED],
    "{}.exported": [*Listing, "fhir", "recording", "transcript"],
}
WRITERS = {"note", "note_read", "record", "_changing", "_remember", "_remember_of", "_tell"}
NO_DETAILS = {"once"}
COUNTED = {
    "alert",
    "attempt",
    "day",
    "finding",
    "history",
    "memory",
    "reports",
    "transcripts",
    "turn",
}  # put in as a dict
TOLD = {"what"}  # handed on by the interface


def written() -> set[str]:
    """The codes in the modules that write to the audit trail; ``{}`` stands for a part that is filled in."""
    found: set[str] = set()
    for file in Path(carecall.__file__).parent.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        if any(map(writes, nodes)):
            found |= {text for text in texts(nodes) if CODE.fullmatch(text.replace("{}", "x"))}
    return found - {"{}.{}"}


def writes(node: ast.AST) -> bool:
    """Whether it is what puts an entry into the trail."""
    match node:
        case ast.Name("note") | ast.Attribute(_, "note_read") | ast.Attribute(ast.Attribute(_, "audit"), "record"):
            return True
    return False


def texts(nodes: list[ast.AST]) -> Iterator[str]:
    parts = {part for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        match node:
            case ast.JoinedStr(values):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in values)
            case ast.Constant(str(text)) if node not in parts:
                yield text


def test_it_is_known_how_codes_are_put_together() -> None:
    assert {code for code in written() if "{}" in code} == PUT_TOGETHER.keys()


@pytest.mark.parametrize("language", Language)
def test_every_action_has_words_and_no_words_are_left_over(language: Language) -> None:
    whole = {code for code in written() if "{}" not in code}
    whole |= {code.format(part) for code, parts in PUT_TOGETHER.items() for part in parts}
    assert {key.removeprefix("audit.") for key in catalog(language) if key.startswith("audit.")} == whole


def details() -> set[str]:
    """The names that entries of the trail give their details."""
    found: set[str] = set()
    for file in Path(carecall.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(ast.Name(name) | ast.Attribute(_, name), _, keywords) if name in WRITERS:
                    found |= {each.arg for each in keywords if each.arg}
    return found - NO_DETAILS | COUNTED | TOLD


@pytest.mark.parametrize("language", Language)
def test_every_detail_has_words_and_no_words_are_left_over(language: Language) -> None:
    prefix = "audit_detail."
    assert {key.removeprefix(prefix) for key in catalog(language) if key.startswith(prefix)} == details()
