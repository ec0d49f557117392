"""``carecall export`` and ``carecall api-token``: what is taken away, and who may read through the interface."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

import typer

from carecall.cli.terminal import open_store, operator, organisation_id_of
from carecall.domain.language import Language
from carecall.domain.viewer import Role, Viewer
from carecall.errors import CareCallError
from carecall.settings import settings

if TYPE_CHECKING:
    from carecall.dialog.definition import Dialog
    from carecall.domain.record import ReportedCall
    from carecall.exchange.fhir import Resource
    from carecall.exchange.lists import Period
    from carecall.store import Store

export = typer.Typer(help="Take lists and reports away as files (docs/integration.md).", no_args_is_help=True)
api_token = typer.Typer(help="Tokens of the systems that read over the interface.", no_args_is_help=True)

_TERMINAL = UUID(int=0)  # nobody who signs in


class Form(StrEnum):
    CSV = "csv"
    XLSX = "xlsx"
    FHIR = "fhir"


class TableForm(StrEnum):
    CSV = "csv"
    XLSX = "xlsx"


File = Annotated[
    Path, typer.Argument(metavar="FILE", help="Is made, readable by its owner only; - for standard output.")
]
First = Annotated[str, typer.Option("--from", metavar="YYYY-MM-DD", help="First day.", show_default=False)]
Last = Annotated[str, typer.Option("--to", metavar="YYYY-MM-DD", help="Last day; today unless given.")]
Of = Annotated[str, typer.Option("--organisation", metavar="NAME", help="Whose; the only one unless given.")]
In = Annotated[Language, typer.Option(help="Of the headings.")]
Clock = Annotated[str, typer.Option(help="Times and days are of it.")]
Shape = Annotated[TableForm, typer.Option("--format", help="Of the file.")]


@export.command()
def people(
    file: File, form: Shape = TableForm.CSV, of: Of = "", language: In = Language.ENGLISH, time_zone: Clock = "UTC"
) -> None:
    """The people of the organisation."""
    _table("people", file, form, "", "", of, language, time_zone)


@export.command()
def today(
    file: File,
    form: Shape = TableForm.CSV,
    day: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="Another day than today.")] = "",
    of: Of = "",
    language: In = Language.ENGLISH,
    time_zone: Clock = "UTC",
) -> None:
    """How a day was for everybody who was called."""
    _table("today", file, form, day, day, of, language, time_zone)


@export.command()
def calls(
    file: File,
    first: First,
    last: Last = "",
    form: Annotated[Form, typer.Option("--format", help="fhir: a Bundle of the reports.")] = Form.CSV,
    of: Of = "",
    language: In = Language.ENGLISH,
    time_zone: Clock = "UTC",
) -> None:
    """The calls of a period; as FHIR their reports with findings and corrections."""
    if form is Form.FHIR:
        _bundle(file, first, last, of, time_zone)
    else:
        _table("calls", file, TableForm(form.value), first, last, of, language, time_zone)


@export.command()
def findings(
    file: File,
    first: First,
    last: Last = "",
    form: Shape = TableForm.CSV,
    of: Of = "",
    language: In = Language.ENGLISH,
    time_zone: Clock = "UTC",
) -> None:
    """What was found out in the calls of a period, each with the words it rests on."""
    _table("findings", file, form, first, last, of, language, time_zone)


def _table(
    what: str, file: Path, form: TableForm, first: str, last: str, of: str, language: Language, time_zone: str
) -> None:
    from carecall.dashboard.words import Words
    from carecall.exchange.lists import Listing, listing
    from carecall.exchange.spreadsheet import SheetFormat, pieces

    zone = _zone(time_zone)
    period = _period(first, last, zone)
    with open_store() as store:
        viewer = _viewer(store, of, language, time_zone)
        _note(store, viewer, what, form.value, period)
        sheet = listing(store.care, viewer, Listing(what), period, Words(language), _dialog_of)
        with _made(file) as out:
            for piece in pieces(sheet, SheetFormat(form.value), zone):
                out.write(piece)


def _bundle(file: Path, first: str, last: str, of: str, time_zone: str) -> None:
    from carecall.exchange import fhir

    zone = _zone(time_zone)
    period = _period(first, last, zone)
    with open_store() as store:
        viewer = _viewer(store, of, Language.ENGLISH, time_zone)
        _note(store, viewer, "calls", "fhir", period)
        effective = settings()
        origin = effective.public_url.rstrip("/") or f"http://{effective.host}:{effective.port}"
        resources = _resources(store, viewer, period, zone)
        with _made(file) as out:
            for piece in fhir.collected(f"{origin}/api/fhir", resources, now=datetime.now(UTC)):
                out.write(piece.encode())


def _resources(store: "Store", viewer: Viewer, period: "Period", zone: ZoneInfo) -> "Iterator[Resource]":
    """Each person before their first report."""
    from carecall.exchange import fhir
    from carecall.exchange.lists import reported

    known: set[UUID] = set()
    for person, call in reported(store.care, viewer, period.span(zone)):
        if person.id not in known:
            known.add(person.id)
            yield fhir.patient(person)
        yield from fhir.resources(call, _dialog_of(call))


def _dialog_of(call: "ReportedCall") -> "Dialog | None":
    from carecall.dashboard.findings import known_dialog

    return known_dialog(settings().dialogs_dir, call.report.dialog_id, Language(call.report.dialog_language))


@contextmanager
def _made(path: Path) -> "Iterator[IO[bytes]]":
    """The file, which is there when it is whole, and not otherwise."""
    if str(path) == "-":
        yield typer.get_binary_stream("stdout")
        return
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with open(os.open(unfinished, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            yield file
        unfinished.replace(path)
    except OSError as error:
        raise CareCallError(f"{path} cannot be written: {error.strerror}.") from None
    finally:
        unfinished.unlink(missing_ok=True)


@api_token.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the system that will hold it.")], of: Of = ""
) -> None:
    """Make a token and print it; it is kept nowhere."""
    if not 1 <= len(name.strip()) <= 100:
        raise CareCallError("A token has a name of at most 100 characters.")
    with open_store() as store:
        token = store.care.add_api_token(_viewer(store, of), name.strip(), actor=operator())
    typer.echo(token)


@api_token.command(name="list")
def list_(of: Of = "", as_json: Annotated[bool, typer.Option("--json", help="One JSON list.")] = False) -> None:
    """Show the tokens, newest first."""
    with open_store() as store:
        tokens = store.care.api_tokens(_viewer(store, of))
    if as_json:
        shown = [
            {
                "id": str(each.id),
                "name": each.name,
                "created_at": each.created_at.isoformat(),
                "used_at": each.used_at and each.used_at.isoformat(),
                "revoked_at": each.revoked_at and each.revoked_at.isoformat(),
            }
            for each in tokens
        ]
        typer.echo(json.dumps(shown, ensure_ascii=False))
        return
    for each in tokens:
        used = f"used {_shown(each.used_at)}" if each.used_at else "never used"
        state = f"revoked {_shown(each.revoked_at)}" if each.revoked_at else used
        typer.echo(f"{each.id}  made {_shown(each.created_at)}, {state}: {each.name}")


@api_token.command()
def revoke(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its id or its name, as listed.")], of: Of = ""
) -> None:
    """Make a token good for nothing."""
    with open_store() as store:
        viewer = _viewer(store, of)
        known = [each for each in store.care.api_tokens(viewer) if token in (str(each.id), each.name)]
        good = [each for each in known if each.revoked_at is None]
        if len(good) > 1:
            raise CareCallError("There are several tokens of this name: take the id (carecall api-token list).")
        if not known:
            raise CareCallError("There is no such token: see carecall api-token list.")
        for each in good:
            store.care.revoke_api_token(viewer, each.id, actor=operator())
    typer.echo("Revoked.")


def _shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _viewer(store: "Store", name: str, language: Language = Language.ENGLISH, time_zone: str = "UTC") -> Viewer:
    """On whose behalf the terminal reads. Raises CareCallError for an organisation that is not there."""
    return Viewer(_TERMINAL, organisation_id_of(store, name), Role.ADMIN, language, time_zone)


def _note(store: "Store", viewer: Viewer, what: str, form: str, period: "Period") -> None:
    store.care.note_read(
        operator(),
        f"{what}.exported",
        [f"organisation:{viewer.organisation_id}"],
        format=form,
        first=period.first.isoformat(),
        last=period.last.isoformat(),
    )


def _zone(name: str) -> ZoneInfo:
    from zoneinfo import available_timezones

    if name not in available_timezones():
        raise CareCallError(f"There is no time zone {name!r}: write it as Asia/Seoul.")
    return ZoneInfo(name)


def _period(first: str, last: str, zone: ZoneInfo) -> "Period":
    from carecall.exchange.lists import Period

    ends = _day(last) if last else datetime.now(zone).date()
    begins = _day(first) if first else ends
    if begins > ends:
        raise CareCallError("The period ends before it begins.")
    return Period(begins, ends)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CareCallError(f"{text!r} is not a day: write it as 2026-05-04.") from None


def register(app: typer.Typer) -> None:
    app.add_typer(export, name="export")
    app.add_typer(api_token, name="api-token")
