"""``carecall models``: what models there are, and fetching them."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from carecall import model_files
from carecall.model_files import State
from carecall.settings import settings

_FILE_WIDTH = 200  # columns of a table that no terminal bounds


def register(app: typer.Typer) -> None:
    """Adds the group to the command line."""
    group = typer.Typer(help="The speech and language models on this machine.", no_args_is_help=True)
    group.command("list")(list_models)
    group.command("fetch")(fetch)
    app.add_typer(group, name="models")


def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array instead of a table.")] = False,
) -> None:
    """Show every known model: what it is for, size, licence, where it lies, and whether it is here."""
    store = model_files.store()
    used = model_files.needed(settings())
    rows = [
        {
            "name": model.name,
            "kind": model.kind.value,
            "purpose": model.purpose,
            "bytes": model.size,
            "licence": model.licence,
            "where": str(store.where(model.name)),
            "state": store.state(model.name).value,
            "used": model.name in used,
        }
        for model in store.models.values()
    ]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("what for", overflow="fold")
    table.add_column("MB", no_wrap=True, justify="right")
    table.add_column("licence", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("where", overflow="fold")
    for row, model in zip(rows, store.models.values(), strict=True):
        mark = "*" if row["used"] else ""
        table.add_row(
            f"{model.name}{mark}",
            f"{model.kind.value}: {model.purpose}",
            f"{model.size / 1e6:,.0f}",
            model.licence,
            str(row["state"]),
            str(row["where"]) if row["state"] == State.READY else "",
        )
    console = Console(highlight=False)
    console.print(table, width=None if console.is_terminal else _FILE_WIDTH, crop=False)
    console.print("* named by the settings")


def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Names of models; without, those of the settings.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every model of the manifest.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Read files that are here through, and mend them.")] = False,
) -> None:
    """Fetch models that are not here yet, and mend damaged ones."""
    if names and everything:
        raise typer.BadParameter("give names or --all, not both")
    store = model_files.store()
    for name in list(store.models) if everything else names or model_files.needed(settings()):
        path = store.ensure(name, verify=verify)
        typer.echo(f"{name}: {path}")
