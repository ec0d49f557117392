"""An evaluation for people: the metrics, who was taken for whom, and the worst errors."""

from collections import Counter
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from carecall.evaluation.kinds import Evaluation, Item

_MOST_ERRORS = 15
_WIDEST = 6  # labels in a confusion matrix; with more, only the confusions are listed
_FILE_WIDTH = 160  # columns where no terminal bounds them


def show(evaluation: Evaluation, console: Console) -> None:
    """Print the evaluation."""
    width = None if console.is_terminal else _FILE_WIDTH
    console.print(f"[bold]{evaluation.kind}[/bold]  {len(evaluation.items)} items")
    for table in _tables(evaluation):
        console.print()
        console.print(table, width=width, crop=False)


def _tables(evaluation: Evaluation) -> list[Table]:
    tables = [_metrics(evaluation)] if evaluation.metrics else [_predictions(evaluation.items)]
    if evaluation.confusion:
        tables.append(_confusion(evaluation.confusion))
    wrong = sorted(filter(_wrong, evaluation.items), key=_wrongness, reverse=True)
    if wrong:
        tables.append(_errors(wrong))
    return tables


def _metrics(evaluation: Evaluation) -> Table:
    table = Table("metric", box=None, pad_edge=False)
    table.add_column("value", justify="right")
    for name, value in evaluation.metrics.items():
        table.add_row(name, f"{value:.3f}")
    return table


def _predictions(items: list[Item]) -> Table:
    table = Table("id", "predicted", box=None, pad_edge=False)
    for item in items:
        table.add_row(escape(str(item["id"])), _shown(item["predicted"]))
    return table


def _confusion(pairs: list[tuple[str, str]]) -> Table:
    counts = Counter(pairs)
    labels = sorted({label for pair in pairs for label in pair})
    if len(labels) > _WIDEST:
        table = Table("expected", "predicted", box=None, pad_edge=False)
        table.add_column("times", justify="right")
        for (expected, predicted), count in counts.most_common():
            if expected != predicted:
                table.add_row(expected, predicted, str(count))
        return table
    table = Table("expected ↓  predicted →", box=None, pad_edge=False)
    for label in labels:
        table.add_column(label, justify="right")
    for expected in labels:
        table.add_row(expected, *(str(counts[expected, predicted] or "·") for predicted in labels))
    return table


def _errors(wrong: list[Item]) -> Table:
    more = f" (the worst {_MOST_ERRORS} of {len(wrong)})" if len(wrong) > _MOST_ERRORS else ""
    table = Table(title=f"errors{more}", title_justify="left", box=None, pad_edge=False)
    table.add_column("id", no_wrap=True)
    table.add_column("expected", overflow="fold")
    table.add_column("predicted", overflow="fold")
    for item in wrong[:_MOST_ERRORS]:
        table.add_row(escape(str(item["id"])), _shown(item["expected"]), _shown(item["predicted"]))
    return table


def _wrong(item: Item) -> bool:
    if "expected" not in item:
        return False
    expected, predicted = item["expected"], item["predicted"]
    if isinstance(expected, list):
        return set(expected) != set(predicted)
    return bool(expected != predicted)


def _wrongness(item: Item) -> float:
    """How sure the wrong answer was, or how much of a list is wrong."""
    expected, predicted = item["expected"], item["predicted"]
    if "scores" in item:
        return float(item["scores"].get(predicted, 1.0))
    if isinstance(expected, list | dict):
        return len(_members(expected) ^ _members(predicted))
    return float(item.get("errors", 1.0))


def _members(value: list[str] | dict[str, str]) -> set[Any]:
    return set(value.items()) if isinstance(value, dict) else set(value)


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return escape(", ".join(f"{name}: {each}" for name, each in value.items())) or "nothing"
    if isinstance(value, list):
        return escape("; ".join(map(str, value))) or "nothing"
    return "nothing" if value is None else escape(str(value))
