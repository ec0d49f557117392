"""``carecall people``: who is called."""

import dataclasses
import json
import os
import sys
import unicodedata
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carecall.cli.terminal import open_store, operator, organisation_id_of
from carecall.domain.enrollment import Reason
from carecall.domain.language import Language
from carecall.errors import CareCallError

if TYPE_CHECKING:
    from rich.progress import Progress

    from carecall.exchange.people_import import ImportResult, Options
    from carecall.exchange.table_file import Line
    from carecall.store import Store
    from carecall.store.people import Listed
    from carecall.store.tables import EnrollmentRow, RecipientRow

people = typer.Typer(help="The people who are called.", no_args_is_help=True)

_SHOWN_PROBLEMS = 200
_MANY_LINES = 1000  # from here on an import shows how far it has come

Who = Annotated[str, typer.Argument(metavar="PERSON", help="The person's id, or their exact name.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]
Of = Annotated[str, typer.Option("--organisation", metavar="NAME", help="Whose; the only one unless given.")]
OfCampaign = Annotated[str, typer.Option("--campaign", help="Of this campaign only.")]


@people.command(name="import")
def import_(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="CSV or XLSX (docs/people.md).")
    ],
    campaign: Annotated[str, typer.Option(help="Enroll them in this campaign.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    skip_wrong: Annotated[
        bool, typer.Option("--skip-wrong", help="Import the good lines; put the others into FILE.rejected.csv.")
    ] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Of people who are known already, record what the file says.")
    ] = False,
    country: Annotated[
        str, typer.Option(help="Country of numbers without country code, such as KR.", show_default=False)
    ] = "",
    language: Annotated[Language | None, typer.Option(help="Of people for whom the file names none.")] = None,
    time_zone: Annotated[str, typer.Option(help="Of people for whom the file names none.")] = "",
    ignore: Annotated[list[str] | None, typer.Option(help="A column to leave out; may be given again.")] = None,
    sheet: Annotated[str, typer.Option(help="Sheet of an XLSX file; the first unless given.")] = "",
    encoding: Annotated[str, typer.Option(help="Of a CSV file; found out unless given.")] = "",
    organisation: Of = "",
    as_json: AsJson = False,
) -> None:
    """Take in a list of people: all of its lines, or none when one is wrong."""
    from carecall.exchange.people_file import Defaults
    from carecall.exchange.people_import import Options, import_people

    options = Options(
        campaign=campaign,
        dry_run=dry_run,
        skip_wrong=skip_wrong,
        update=update,
        sheet=sheet,
        encoding=encoding,
        defaults=Defaults(country.upper() or None, language, time_zone or None, tuple(ignore or ())),
    )
    with open_store() as store, progress_bar() as bar:
        saving: list[Any] = []

        def saved(done: int, total: int) -> None:
            if not saving and total >= _MANY_LINES:
                saving.append(bar.add_task("Saving", total=total))
            for task in saving:
                bar.update(task, completed=done)

        def checked(lines: "Sequence[Line]") -> "Iterator[Line]":
            return iter(bar.track(lines, description="Checking") if len(lines) >= _MANY_LINES else lines)

        options = dataclasses.replace(options, organisation_id=organisation_id_of(store, organisation))
        result = import_people(store, file, options, actor=operator(), reading=checked, writing=saved)
    if as_json:
        shown = dataclasses.asdict(result) | {"rejected_file": result.rejected_file and str(result.rejected_file)}
        typer.echo(json.dumps(shown, ensure_ascii=False))
    else:
        _tell(result, options)
    if not result.imported and (result.problems or not dry_run):
        raise typer.Exit(1)


def _tell(result: "ImportResult", options: "Options") -> None:
    for problem in result.problems[:_SHOWN_PROBLEMS]:
        typer.echo(f"{result.file}:{problem.line}: {problem.message}", err=True)
    if len(result.problems) > _SHOWN_PROBLEMS:
        typer.echo(f"… and {len(result.problems) - _SHOWN_PROBLEMS:,} more (--json names all of them)", err=True)
    counts = [f"{result.added:,} new", f"{result.known:,} known already"]
    if result.changed:
        counts.append(f"{result.changed:,} of them changed")
    if options.campaign:
        counts.append(f"{result.enrolled:,} newly in '{options.campaign}'")
    if result.without_consent:
        counts.append(f"{result.without_consent:,} of them without consent, who are not called")
    if result.rejected:
        counts.append(f"{result.rejected:,} with problems")
    typer.echo(f"{result.file}: {result.lines:,} people: {', '.join(counts)}.")
    typer.echo(_next(result, options))


def _next(result: "ImportResult", options: "Options") -> str:
    if result.imported:
        done = "Imported."
        if result.rejected_file:
            done += f" The lines with problems are in {result.rejected_file}: mend and import them."
        if options.campaign:
            name = f'"{options.campaign}"' if " " in options.campaign else options.campaign
            return f"{done} See who is called when: carecall plan --campaign {name}"
        return f"{done} Put them in a campaign: carecall people import FILE --campaign NAME"
    if result.problems:
        return "Nothing is imported. Mend the lines, or import the others with --skip-wrong."
    return "Nothing is imported: this was a dry run. Import them by the same command without --dry-run."


@people.command(name="list")
def list_(campaign: OfCampaign = "", organisation: Of = "", as_json: AsJson = False) -> None:
    """Show everybody, or the people of a campaign: a line each, with the id by which the other commands take them."""
    with open_store() as store:
        of = organisation_id_of(store, organisation)
        found = store.people.listed(store.people.campaign(campaign, of).id if campaign else None, of)
    if as_json:
        typer.echo(json.dumps([_as_json(each) for each in found], ensure_ascii=False))
        return
    if not found:
        typer.echo("Nobody yet. Take people in: carecall people import FILE")
        return
    for each in found:
        row = each.recipient
        campaigns = ", ".join(
            f"{name} ({_standing(enrollment)})"
            for enrollment, name in each.enrollments
            if not campaign or name == campaign
        )
        typer.echo("  ".join((str(row.id), row.name, _national(row.phone), row.language, row.time_zone, campaigns)))


@people.command()
def show(person: Who, as_json: AsJson = False) -> None:
    """Show what is recorded of a person, and the last attempts to reach them. The look is kept in the audit trail."""
    from carecall.outreach.reason_words import words

    with open_store() as store:
        listed = _person(store, person)
        attempts = store.people.recent_attempts(listed.recipient.id)
        store.audit.record(operator(), "recipient.viewed", f"recipient:{listed.recipient.id}")
    if as_json:
        calls = [
            {"planned_at": each.planned_at.isoformat(), "state": each.state, "outcome": each.outcome}
            for each in attempts
        ]
        typer.echo(json.dumps(_as_json(listed) | {"attempts": calls}, ensure_ascii=False))
        return
    row = listed.recipient
    hours = f"{row.opens:%H:%M}-{row.closes:%H:%M}" if row.opens and row.closes else "those of the campaign"
    lines = {
        "id": str(row.id),
        "name": row.name,
        "phone": _national(row.phone),
        "language": row.language.value,
        "time zone": row.time_zone,
        "hours": hours,
        "patience": f"{row.patience_s:g} s",
        "recording": f"agreed {_day(row.recording_consent_at, row)}" if row.recording_consent_at else "not agreed",
        "notes": row.notes.replace("\n", "\n" + 11 * " "),
    }
    for key, value in lines.items():
        typer.echo(f"{key:10} {value}")
    for enrollment, campaign in listed.enrollments:
        given = enrollment.consent_at
        consent = f"consent {enrollment.consent_source} {_day(given, row)}" if given else ""
        typer.echo(f"{'campaign':10} {campaign}: {', '.join(filter(None, [_standing(enrollment), consent]))}")
        if _standing(enrollment) == "is called" and enrollment.why:
            said = words(Reason(enrollment.why), enrollment.next_due_at, row.time_zone, Language.ENGLISH)
            typer.echo(f"{'':10} {said}")
    for attempt in attempts:
        typer.echo(f"{'attempt':10} {attempt.planned_at:%Y-%m-%d %H:%M} UTC  {attempt.state} {attempt.outcome or ''}")


@people.command(name="opt-out")
def opt_out(person: Who) -> None:
    """The person wants no more calls: in force at once, in all campaigns."""
    with open_store() as store:
        listed = _person(store, person)
        store.recipients.opt_out(listed.recipient.id, actor=operator())
    typer.echo(f"{listed.recipient.name} is not called any more, in any campaign.")


@people.command()
def pause(person: Who, campaign: OfCampaign = "") -> None:
    """Do not call the person until 'carecall people resume'."""
    _set_paused(person, campaign, True)


@people.command()
def resume(person: Who, campaign: OfCampaign = "") -> None:
    """Call the person again after a pause."""
    _set_paused(person, campaign, False)


@people.command()
def export(
    person: Who,
    to: Annotated[Path, typer.Option(metavar="FILE.zip", help="Where to; a file that is there is not replaced.")],
) -> None:
    """Write all that is kept of a person into one ZIP file: data, conversations, recordings. It is not encrypted."""
    from carecall.exchange.person_file import write_person

    with open_store() as store:
        listed = _person(store, person)
        copy = store.rights.copy_of(listed.recipient.id, actor=operator())
    try:
        with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            missing = write_person(file, copy)
    except OSError as error:
        raise CareCallError(f"{to} cannot be written: {error.strerror}.") from None
    typer.echo(f"{to}: {len(copy.tables['attempt'])} calls, {len(copy.recordings) - len(missing)} recordings.")
    for recording in missing:
        typer.echo(f"Not on this machine or changed on its disk, and not whole in the file: {recording}", err=True)


@people.command()
def erase(
    person: Who,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete all that is kept of a person, for ever; of who opted out, the number stays so that it is not called."""
    with open_store() as store:
        listed = _person(store, person)
        if not yes:
            typer.confirm(
                f"Erase {listed.recipient.name} with all calls, reports and recordings, for ever?", abort=True
            )
        erased = store.rights.erase(listed.recipient.id, actor=operator())
    calls = erased.rows.get("attempt", 0)
    typer.echo(f"Erased, with {calls} calls and {erased.recordings} recordings. Backups and exports are not.")
    if erased.number_kept:
        typer.echo("They had opted out: the number stays, encrypted and without a name, so that it is not called.")


def _set_paused(person: str, campaign: str, paused: bool) -> None:
    with open_store() as store:
        listed = _person(store, person)
        changed = [
            (enrollment, name)
            for enrollment, name in listed.enrollments
            if enrollment.ended_at is None and enrollment.opted_out_at is None and campaign in ("", name)
        ]
        if not changed:
            raise CareCallError("This person is in no campaign" + (" of this name." if campaign else "."))
        for enrollment, _ in changed:
            store.outreach.set_paused(enrollment.id, paused, actor=operator())
    names = ", ".join(name for _, name in changed)
    typer.echo(f"{listed.recipient.name}: {'paused' if paused else 'called again'} in {names}.")


def _person(store: "Store", who: str) -> "Listed":
    """The person of this id or name. Raises CareCallError when there is none, or more than one of the name."""
    try:
        return store.people.one(uuid.UUID(who))
    except ValueError:
        pass
    found = store.people.named(unicodedata.normalize("NFC", who.strip()))
    if len(found) == 1:
        return found[0]
    if not found:
        raise CareCallError("There is nobody of exactly this name: look with 'carecall people list'.")
    ids = "; ".join(f"{each.recipient.id} (…{each.recipient.phone[-2:]})" for each in found)
    raise CareCallError(f"{len(found)} people have this name; say the id: {ids}.")


def _day(at: datetime, row: "RecipientRow") -> str:
    """The day on the person's own clock."""
    from carecall.outreach.local_days import known_zone

    return f"{at.astimezone(known_zone(row.time_zone) or UTC):%Y-%m-%d}"


def _standing(enrollment: "EnrollmentRow") -> str:
    if enrollment.opted_out_at:
        return "opted out"
    if enrollment.ended_at:
        return "ended"
    if enrollment.paused:
        return "paused"
    return "is called" if enrollment.consent_at else "no consent"


def _as_json(listed: "Listed") -> dict[str, Any]:
    row = listed.recipient
    return {
        "id": str(row.id),
        "name": row.name,
        "phone": row.phone,
        "language": row.language.value,
        "time_zone": row.time_zone,
        "opens": row.opens and row.opens.isoformat("minutes"),
        "closes": row.closes and row.closes.isoformat("minutes"),
        "patience_s": row.patience_s,
        "notes": row.notes,
        "recording_consent_at": row.recording_consent_at and row.recording_consent_at.isoformat(),
        "campaigns": [
            {
                "enrollment_id": str(enrollment.id),
                "campaign": name,
                "standing": _standing(enrollment),
                "consent_at": enrollment.consent_at and enrollment.consent_at.isoformat(),
                "last_day": enrollment.last_day and enrollment.last_day.isoformat(),
                "next_due_at": enrollment.next_due_at and enrollment.next_due_at.isoformat(),
            }
            for enrollment, name in listed.enrollments
        ],
    }


def _national(phone: str) -> str:
    """The number as it is written in its own country, with the country code before it."""
    import phonenumbers

    try:
        number = phonenumbers.parse(phone)
    except phonenumbers.NumberParseException:
        return phone
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def progress_bar() -> "Progress":
    """On a terminal only."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=sys.stderr)
    return Progress(console=console, transient=True, disable=not console.is_terminal)


def register(app: typer.Typer) -> None:
    app.add_typer(people, name="people")
