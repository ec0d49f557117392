"""``carecall user`` and ``carecall organisation``: who may sign in to the dashboard, and for whom they work."""

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from carecall.cli.terminal import open_store, operator, organisation_id_of
from carecall.domain.language import Language
from carecall.domain.viewer import Role
from carecall.errors import CareCallError

if TYPE_CHECKING:
    pass

user = typer.Typer(help="Who may sign in to the dashboard.", no_args_is_help=True)
organisation = typer.Typer(help="Organisations: nobody sees the people of another one.", no_args_is_help=True)

_ADDRESS = re.compile(r"[^@\s,<>]+@[^@\s,<>]+")
_WRONG = {
    "short": "The password is too short: choose at least 12 characters.",
    "long": "The password is too long: choose at most 128 characters.",
    "address": "The address cannot be the password: choose another.",
    "repeated": "The password repeats too few characters: choose another.",
}

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The address that they sign in with.")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


@user.command()
def add(
    email: Email,
    role: Annotated[Role, typer.Option(help="What they may do; each role may do what those before may.")],
    name: Annotated[str, typer.Option(help="How colleagues call them.")] = "",
    organisation: Annotated[str, typer.Option(metavar="NAME", help="For whom they work.")] = "",
    language: Annotated[Language, typer.Option(help="Of their pages.")] = Language.ENGLISH,
    time_zone: Annotated[str, typer.Option(help="Times are shown in it.")] = "UTC",
    password_stdin: FromStdin = False,
) -> None:
    """Add a user; asks for the password."""
    from zoneinfo import available_timezones

    from carecall.dashboard.passwords import hash_password

    if not _ADDRESS.fullmatch(email):
        raise CareCallError(f"{email!r} is not an e-mail address.")
    if time_zone not in available_timezones():
        raise CareCallError(f"There is no time zone {time_zone!r}: write it as Asia/Seoul.")
    with open_store() as store:
        organisation_id = organisation_id_of(store, organisation)
        hashed = hash_password(_password(email, from_stdin=password_stdin))
        store.users.add(
            email,
            role,
            hashed,
            name=name,
            language=language,
            time_zone=time_zone,
            organisation_id=organisation_id,
            actor=operator(),
        )
    typer.echo(f"{email} may sign in as {role}.")


@user.command(name="list")
def list_users() -> None:
    """Show who may sign in."""
    with open_store() as store:
        everybody = store.users.everybody()
    for each, organisation_name in everybody:
        factor = "second step on" if each.second_factor else "password only"
        standing = "active" if each.active else "deactivated"
        typer.echo(f"{each.email}\t{each.role}\t{standing}\t{factor}\t{organisation_name}\t{each.name}")
    if not everybody:
        typer.echo("Nobody yet: carecall user add EMAIL --role admin", err=True)


@user.command()
def reset(email: Email, password_stdin: FromStdin = False) -> None:
    """Give a first password, which they change when they sign in; ends their second step and all their sessions."""
    from carecall.dashboard.passwords import first_password, hash_password

    chosen = _password(email, from_stdin=True) if password_stdin else first_password()
    with open_store() as store:
        store.users.operator_resets(email, hash_password(chosen), actor=operator())
    typer.echo(f"{email} signs in with the password given." if password_stdin else f"First password: {chosen}")


@user.command()
def deactivate(email: Email) -> None:
    """Let them sign in no more, and end all their sessions."""
    with open_store() as store:
        store.users.operator_sets_active(email, False, actor=operator())
    typer.echo(f"{email} may not sign in any more.")


@user.command()
def activate(email: Email) -> None:
    """Let them sign in again."""
    with open_store() as store:
        store.users.operator_sets_active(email, True, actor=operator())
    typer.echo(f"{email} may sign in again.")


@organisation.command(name="add")
def add_organisation(name: Annotated[str, typer.Argument(help="Its name, such as Jongno-gu Health Centre.")]) -> None:
    """Add an organisation."""
    if not 0 < len(name.strip()) <= 200:
        raise CareCallError("The name of an organisation has 1 to 200 characters.")
    with open_store() as store:
        store.users.add_organisation(name.strip(), actor=operator())
    typer.echo(f"Add its first user: carecall user add EMAIL --role admin --organisation '{name.strip()}'")


@organisation.command(name="list")
def list_organisations() -> None:
    """Show the organisations, with the number of their users."""
    with open_store() as store:
        for each in store.users.organisations():
            typer.echo(f"{each.name}\t{each.users}\t{each.id}")


def _password(email: str, *, from_stdin: bool) -> str:
    """Raises CareCallError for one that may not be."""
    from carecall.dashboard.passwords import wrong_with

    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif not sys.stdin.isatty():
        raise CareCallError("There is nobody to ask for the password: give it by --password-stdin.")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt="Once more")
    if (trouble := wrong_with(password, email)) is not None:
        raise CareCallError(_WRONG[trouble])
    return password


def register(app: typer.Typer) -> None:
    app.add_typer(user, name="user")
    app.add_typer(organisation, name="organisation")
