"""The runbook names every alarm: whatever is logged as a warning or worse, and every metric."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
ALARMS = RUNBOOK[RUNBOOK.index("## What each alarm means") :]
NOT_FOR_OPERATORS = ("simulation", "evaluation")  # nothing of these runs in a service


def sources() -> list[Path]:
    files = [*(ROOT / "carecall").rglob("*.py"), *(ROOT / "telephony").rglob("*.py")]
    return [file for file in files if not set(NOT_FOR_OPERATORS) & set(file.parts)]


def calls(*names: str) -> Iterator[str]:
    """The first argument of every call of these names, where it is a text; what varies in it is an ellipsis."""
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names:
                for argument in node.args[:1]:
                    if text := template(argument):
                        yield text


def template(node: ast.expr) -> str:
    """The text's first line; empty for what is no text."""
    match node:
        case ast.Constant(value=str(text)):
            return re.sub(r"%[-\d.]*[sdf]", "…", text.partition("\n")[0])
        case ast.JoinedStr(values=values):
            return "".join(template(each) or "…" for each in values)
        case _:
            return ""


@functools.cache
def logged() -> set[str]:
    """Every line that may be logged as a warning or worse; refusals of streams are logged as their own text."""
    refusals = {text for text in calls("__init__") if text.startswith("The media stream")}
    return {*calls("warning", "error", "exception"), *refusals} - {"…"}


def explains(cell: str, line: str) -> bool:
    """Whether the cell shows the line: whole, with some of its values written out, or up to a colon."""
    whole = ".*?".join(map(re.escape, line.split("…")))
    head, colon, _ = line.partition(": …")
    return re.fullmatch(whole, cell) is not None or (
        colon != "" and re.match(".*?".join(map(re.escape, head.split("…"))) + ": …$", cell) is not None
    )


def test_every_warning_and_error_is_explained() -> None:
    cells = re.findall(r"`([^`]+)`", ALARMS)
    missing = [line for line in logged() if not any(explains(cell, line) for cell in cells)]
    assert missing == []


def test_every_alarm_that_is_explained_can_be_logged() -> None:
    rows = re.findall(r"^\| (`.+?`) \|", ALARMS, re.MULTILINE)
    cells = [cell for row in rows for cell in re.findall(r"`([^`]+)`", row) if not cell.startswith("carecall.")]
    assert [cell for cell in cells if not any(explains(cell, line) for line in logged())] == []


def test_every_metric_is_explained() -> None:
    metrics = set(calls("create_counter", "create_histogram", "create_up_down_counter", "create_gauge"))
    assert metrics == {name for name in re.findall(r"`(carecall\.[a-z_.]+)`", ALARMS) if not name.endswith(".toml")}
