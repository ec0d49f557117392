"""``carecall plan`` and ``carecall campaign``: who is called on a day, why somebody is not, and the campaigns."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import typer
from rich.cells import cell_len, set_cell_size

from carecall.cli.terminal import open_store, operator, organisation_id_of
from carecall.domain.campaign import Campaign
from carecall.domain.enrollment import Enrolled
from carecall.domain.language import Language
from carecall.errors import CareCallError
from carecall.settings import settings

if TYPE_CHECKING:
    from carecall.outreach.day_plan import Entry
    from carecall.store import Store

campaign = typer.Typer(help="Who is called about what, when (docs/campaigns.md).", no_args_is_help=True)

_PAGE = 1000  # people read, planned and shown at a time
_NAME_WIDTH = 24  # columns

Name = Annotated[str, typer.Argument(metavar="NAME", help="The campaign's name.")]
Of = Annotated[str, typer.Option("--organisation", metavar="NAME", help="Whose; the only one unless given.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the plan."""

    campaign: str
    enrolled: Enrolled
    name: str  # empty: not asked for
    entry: "Entry"


@dataclass(frozen=True, slots=True)
class Totals:
    """How many checks and people stand how."""

    standings: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, entry: "Entry") -> None:
        self.standings[entry.standing.value] += 1
        if entry.refusal is not None:
            self.reasons[entry.refusal.reason.value] += 1

    def __str__(self) -> str:
        standings, reasons = (
            ", ".join(f"{number} {each.replace('_', ' ')}" for each, number in counter.most_common())
            for counter in (self.standings, self.reasons)
        )
        return f"{standings} ({reasons})" if reasons else standings


@campaign.command()
def add(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A file such as campaigns/*.yaml.")],
    organisation: Of = "",
) -> None:
    """Add the campaign of a file, or change the one of its name; its people are planned anew at once."""
    from carecall.dialog.files import dialog_names
    from carecall.outreach.campaign_file import load_campaign

    effective = settings()
    loaded = load_campaign(file, dialog_names(effective.dialogs_dir))
    with open_store() as store:
        of = organisation_id_of(store, organisation)
        known = {each.name: each for _, each in store.outreach.campaigns(of)}.get(loaded.name)
        kept = replace(loaded, paused=known is not None and known.paused)
        store.outreach.save_campaign(kept, actor=operator(), organisation_id=of)
    if known is None:
        typer.echo(f"Added {loaded.name}. Put people in it: carecall people import FILE --campaign {_quoted(loaded)}")
    else:
        paused = " It is still paused." if known.paused else ""
        typer.echo(f"Changed {loaded.name}.{paused} See the day: carecall plan --campaign {_quoted(loaded)}")


@campaign.command("list")
def list_campaigns(organisation: Of = "", as_json: AsJson = False) -> None:
    """Show every campaign: its dialog, period and times."""
    from carecall.outreach.campaign_file import as_plain

    with open_store() as store:
        found = [each for _, each in store.outreach.campaigns(organisation_id_of(store, organisation))]
    if as_json:
        plain = [{**as_plain(each), "paused": each.paused} for each in found]
        typer.echo(json.dumps(plain, ensure_ascii=False, indent=2))
    elif not found:
        typer.echo(_NO_CAMPAIGN)
    for each in () if as_json else found:
        schedule = as_plain(each)["schedule"]
        days = "every day" if len(schedule["weekdays"]) == 7 else " ".join(schedule["weekdays"])
        period = f"from {each.starts_on}" + (f" to {each.ends_on}" if each.ends_on else "")
        times = " ".join(schedule["times"])
        typer.echo("  ".join((each.name, each.dialog, period, days, times, *(["paused"] if each.paused else []))))


@campaign.command()
def show(name: Name, organisation: Of = "", as_json: AsJson = False) -> None:
    """Show a campaign as a file that 'carecall campaign add' takes."""
    from carecall.outreach.campaign_file import as_plain, as_yaml

    with open_store() as store:
        _, found = _campaign(store, name, organisation_id_of(store, organisation))
    if as_json:
        typer.echo(json.dumps({**as_plain(found), "paused": found.paused}, ensure_ascii=False, indent=2))
    else:
        typer.echo(("# paused\n" if found.paused else "") + as_yaml(found), nl=False)


@campaign.command()
def pause(name: Name, organisation: Of = "") -> None:
    """Call nobody of the campaign until 'carecall campaign resume'."""
    _set_paused(name, organisation, True)


@campaign.command()
def resume(name: Name, organisation: Of = "") -> None:
    """Call the people of the campaign again after a pause."""
    _set_paused(name, organisation, False)


def plan(
    on: Annotated[str, typer.Option("--on", metavar="DATE", help="A day such as 2026-12-01; today by default.")] = "",
    campaign_name: Annotated[str, typer.Option("--campaign", help="Of this campaign only.")] = "",
    organisation: Of = "",
    names: Annotated[bool, typer.Option(help="Show names, or only the ids.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line; the last one has totals.")] = False,
) -> None:
    """Print a day: who is called when, on their own clock, and why somebody is not. Calls nobody."""
    now = datetime.now(UTC)
    day = _day(on)
    with open_store() as store:
        of = organisation_id_of(store, organisation)
        campaigns = [_campaign(store, campaign_name, of)] if campaign_name else store.outreach.campaigns(of)
        if not campaigns and not as_json:
            typer.echo(_NO_CAMPAIGN)
            return
        if not as_json:
            typer.echo(f"{day:%A} {day.day} {day:%B %Y}, on each person's own clock")
        totals = Totals()
        width = max((cell_len(each.name) for _, each in campaigns), default=0)
        for line in day_lines(store, campaigns, day, now, names=names):
            typer.echo(json.dumps(_as_json(line), ensure_ascii=False) if as_json else _as_text(line, width))
            totals.add(line.entry)
    if as_json:
        typer.echo(json.dumps({"on": day.isoformat(), "totals": totals.standings, "reasons": totals.reasons}))
    elif not totals.standings:
        which = _quoted(campaigns[0][1]) if len(campaigns) == 1 else "NAME"
        typer.echo(f"Nobody is enrolled yet. Put people in: carecall people import FILE --campaign {which}")
    else:
        typer.echo(totals)


def day_lines(
    store: "Store", campaigns: list[tuple[UUID, Campaign]], day: date, now: datetime, *, names: bool
) -> Iterator[Line]:
    """The day's lines, campaign by campaign, a page of people at a time; within a page by time."""
    from carecall.outreach.day_plan import plan_day

    for campaign_id, of in campaigns:
        after: UUID | None = None
        while page := store.outreach.enrolled(campaign_id=campaign_id, after=after, limit=_PAGE):
            known = store.recipients.names([each.recipient_id for each in page]) if names else {}
            lines = [
                Line(of.name, each, known.get(each.recipient_id, ""), entry)
                for each in page
                for entry in plan_day(each, day, now)
            ]
            yield from sorted(lines, key=_by_time)
            after = page[-1].enrollment_id


def _by_time(line: Line) -> tuple[bool, str]:
    return line.entry.check is None, _clock(line)


def _clock(line: Line) -> str:
    """When the check may be begun, on the person's own clock."""
    check = line.entry.check
    return f"{check.begins_at.astimezone(ZoneInfo(line.enrolled.time_zone)):%H:%M}" if check else "  -  "


def _why(line: Line) -> str:
    from carecall.outreach.planning import words

    refusal = line.entry.refusal
    if refusal is None:
        return ""
    return words(refusal.reason, refusal.look_again_at, line.enrolled.time_zone, Language.ENGLISH)


def _as_text(line: Line, width: int) -> str:
    of = set_cell_size(line.campaign, width)
    who = set_cell_size(line.name, _NAME_WIDTH) if line.name else str(line.enrolled.recipient_id)
    return f"{_clock(line)}  {of}  {who}  {_why(line) or line.entry.standing.value}"


def _as_json(line: Line) -> dict[str, Any]:
    check, refusal = line.entry.check, line.entry.refusal
    said: dict[str, Any] = {
        "campaign": line.campaign,
        "recipient_id": str(line.enrolled.recipient_id),
        "enrollment_id": str(line.enrolled.enrollment_id),
        "standing": line.entry.standing.value,
    }
    if line.name:
        said["name"] = line.name
    if check is not None:
        zone = ZoneInfo(line.enrolled.time_zone)
        for key, moment in (("due_at", check.due_at), ("begins_at", check.begins_at), ("until", check.until)):
            said[key] = moment.astimezone(zone).isoformat()
    if refusal is not None:
        said |= {"reason": refusal.reason.value, "why": _why(line)}
    return said


def _day(text: str) -> date:
    """The day that is meant. Raises BadParameter for one that has passed."""
    today = datetime.now().astimezone().date()
    try:
        day = date.fromisoformat(text) if text else today
    except ValueError:
        raise typer.BadParameter("write a day as year-month-day, such as 2026-12-01", param_hint="--on") from None
    if day < today - timedelta(days=1):  # somewhere on Earth it may still be yesterday
        raise typer.BadParameter("that day has passed; a plan looks ahead", param_hint="--on")
    return day


def _campaign(store: "Store", name: str, organisation_id: UUID) -> tuple[UUID, Campaign]:
    found = store.outreach.campaigns(organisation_id)
    for campaign_id, each in found:
        if each.name == name:
            return campaign_id, each
    there = f"There are: {', '.join(each.name for _, each in found)}." if found else _NO_CAMPAIGN
    raise CareCallError(f"There is no campaign {name!r}. {there}")


def _set_paused(name: str, organisation: str, paused: bool) -> None:
    with open_store() as store:
        of = organisation_id_of(store, organisation)
        _, found = _campaign(store, name, of)
        if found.paused is not paused:
            store.outreach.save_campaign(replace(found, paused=paused), actor=operator(), organisation_id=of)
    typer.echo(f"{found.name} is {'paused: nobody of it is called' if paused else 'not paused: calls go on'}.")


def _quoted(of: Campaign) -> str:
    return f'"{of.name}"' if " " in of.name else of.name


_NO_CAMPAIGN = "There is no campaign yet. Add one: carecall campaign add campaigns/living-alone.yaml"


def register(app: typer.Typer) -> None:
    app.command()(plan)
    app.add_typer(campaign, name="campaign")
