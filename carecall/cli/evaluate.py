"""``carecall evaluate``: measures the program on a file of labelled lines."""

import asyncio
import datetime
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from carecall.domain.language import Language
from carecall.errors import ModelFileError
from carecall.evaluation.records import Codec, Kind
from carecall.llm import LanguageModel
from carecall.settings import settings


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command("evaluate")(evaluate)


def evaluate(
    kind: Annotated[Kind, typer.Argument(help="What is measured.")],
    file: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, readable=True, help="Lines to measure on (docs/evaluation.md)."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
    llm: Annotated[
        str | None,
        typer.Option(
            help="none: the rules alone; local, or the base URL of a server. As in the settings unless given."
        ),
    ] = None,
    language: Annotated[Language | None, typer.Option(help="Over the language that the lines name.")] = None,
    codec: Annotated[Codec, typer.Option(help="speech: send the audio through this first.")] = Codec.NONE,
) -> None:
    """Measure understanding, bounds, memory or speech on a file."""
    from carecall.evaluation.run import run
    from carecall.evaluation.table import show

    model = _model(llm) if kind not in (Kind.BOUNDS, Kind.SPEECH) else None
    evaluation = asyncio.run(
        run(kind, file, model=model, language=language, codec=codec, today=datetime.date.today(), progress=_progress)
    )
    if as_json:
        typer.echo(json.dumps(evaluation.as_json(), ensure_ascii=False))
    else:
        show(evaluation, Console(highlight=False))


def _model(llm: str | None) -> LanguageModel | None:
    """The model that was asked for. A model that only the settings name may be missing: then the rules are measured."""
    from carecall.llm.factory import make_language_model

    chosen = settings() if llm is None else settings().model_copy(update={"llm": llm})
    try:
        return make_language_model(chosen)
    except ModelFileError:
        if llm is not None:
            raise
        Console(stderr=True).print(f"{chosen.llm_model} is not on this machine: measuring the rules alone.")
        return None


def _progress(records: Sequence[Any]) -> Iterable[Any]:
    console = Console(file=sys.stderr)
    return track(records, "Measuring", console=console, transient=True, disable=not console.is_terminal)
