"""``carecall db``: the database that the calls are kept in."""

import typer

from carecall.settings import settings

database = typer.Typer(help="The database.", no_args_is_help=True)


@database.callback()
def _database() -> None:
    """The database."""


@database.command()
def upgrade() -> None:
    """Migrate the database to this version of CareCall; makes it when there is none."""
    from carecall.store.facade import upgrade_database

    before, after = upgrade_database(settings().database)
    typer.echo(f"{before or 'empty'} → {after}" if before != after else f"{after}: nothing to do")


def register(app: typer.Typer) -> None:
    app.add_typer(database, name="db")
