"""``carecall db``: migrate the database, change its key, check its audit trail, delete what is past its time."""

import dataclasses
import json
from typing import Annotated

import typer

from carecall.cli.people import AsJson, progress_bar
from carecall.cli.terminal import open_store, operator
from carecall.settings import settings

database = typer.Typer(help="The database.", no_args_is_help=True)


@database.callback()
def _database() -> None:
    """The database."""


@database.command()
def upgrade() -> None:
    """Migrate the database to this version of CareCall; makes it when there is none."""
    from carecall.store.facade import upgrade_database

    effective = settings()
    before, after = upgrade_database(effective.database, effective.secret_key.get_secret_value())
    typer.echo(f"{before or 'empty'} → {after}" if before != after else f"{after}: nothing to do")


@database.command()
def rekey() -> None:
    """Seal all personal data with the first key of CARECALL_SECRET_KEY, while the program runs; may be broken off."""
    with open_store() as store, progress_bar() as bar:
        task = bar.add_task("Sealing", total=store.keys.remaining())
        rows = store.keys.rekey(operator(), lambda done: bar.advance(task, done))
        recordings = store.recordings.seal_open(settings().recordings_dir)
    typer.echo(f"{rows:,} rows are sealed anew with the first key.")
    if recordings:
        typer.echo(f"{recordings:,} recordings on this machine lay open, and are sealed.")
    if len(settings().secret_key.get_secret_value().replace(",", " ").split()) > 1:
        typer.echo("Every process that runs has the new key? Then set CARECALL_SECRET_KEY to it alone.")


@database.command(name="audit-check")
def audit_check(
    seen: Annotated[
        str, typer.Option(metavar="HASH", help="A hash that was noted outside of the database, as in the log.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Follow the audit trail from its first row to its last: was a row changed, or taken away?"""
    with open_store() as store, progress_bar() as bar:
        task = bar.add_task("Checking", total=None)
        found = store.audit.check(seen=seen, progress=lambda rows: bar.update(task, completed=rows))
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(found)))
    elif found.trouble:
        typer.echo(found.trouble)
    else:
        typer.echo(f"{found.rows:,} rows, none changed and none missing. Newest hash: {found.newest or 'none yet'}")
    if seen and not found.seen and not as_json:
        typer.echo("The hash that was noted is not in the trail: rows were taken away, or all were written anew.")
    if found.trouble or (seen and not found.seen):
        raise typer.Exit(1)


@database.command()
def retain() -> None:
    """Delete now what is past its time, as the worker does every day (CARECALL_RETAIN_…_DAYS)."""
    import asyncio

    from carecall.outreach.retention import clear

    with open_store() as store:
        asyncio.run(clear(store, settings()))
    typer.echo("What was past its time is deleted.")


def register(app: typer.Typer) -> None:
    app.add_typer(database, name="db")
