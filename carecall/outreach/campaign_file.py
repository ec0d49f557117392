"""Loads a campaign from a YAML file and refuses a wrong one with every problem named by its line."""

import difflib
import re
from collections.abc import Collection, Sequence
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML

from carecall.dialog.yaml_source import Location, Problem, Source, read_yaml, shown
from carecall.domain.campaign import Campaign, HumanStep, Ladder, Schedule, TaskKind, Window
from carecall.errors import CampaignFileError
from carecall.outreach.campaign_schema import (
    RETRIED,
    WEEKDAYS,
    CampaignPart,
    HumanStepPart,
    LadderPart,
    SchedulePart,
    WindowPart,
)

_PARTS: dict[str, type[BaseModel]] = {
    "schedule": SchedulePart,
    "window": WindowPart,
    "ladder": LadderPart,
    "then": HumanStepPart,
}
_KEY = "[key]"  # pydantic's mark for a mapping's key in a location
_LANGUAGE = re.compile(r"\.[a-z]{2}$")


def load_campaign(path: Path, dialogs: Collection[str] | None = None) -> Campaign:
    """The campaign of a file; with the names of the dialogs there are (``wellbeing.ko``) its own must be among them.

    Raises CampaignFileError with every problem that was found, a line each: where, what is wrong, how to mend it.
    """
    where = "/".join(path.absolute().parts[-2:])
    try:
        source = read_yaml(path)
    except OSError as error:
        raise CampaignFileError(
            f"{where}: cannot be read ({error.strerror}); look at the path and its rights"
        ) from None
    problems = list(source.problems)
    part: CampaignPart | None = None
    if isinstance(source.value, dict):
        try:
            part = CampaignPart.model_validate(source.value)
        except ValidationError as error:
            problems += _shape_problems(error, source)
        if dialogs is not None:
            problems += _dialog_problems(source.value.get("dialog"), dialogs, source)
    elif not problems:
        problems.append(Problem(1, "there is no campaign in this file; start from an example in campaigns/"))
    if part is None or problems:
        raise CampaignFileError("\n".join(f"{where}:{each.line}: {each.text}" for each in sorted(set(problems))))
    return campaign_of(part)


def campaign_of(part: CampaignPart) -> Campaign:
    """The campaign that a checked file, or a form that was checked as one, is."""
    schedule, ladder = part.schedule, part.ladder
    return Campaign(
        name=part.name,
        dialog=part.dialog,
        starts_on=part.starts_on,
        ends_on=part.ends_on,
        schedule=Schedule(
            times=schedule.times,
            weekdays=frozenset(WEEKDAYS.index(day) for day in schedule.weekdays),
            window=Window(schedule.window.opens, schedule.window.closes),
            holidays=schedule.holidays,
            open_for=schedule.open_for,
            daily_cap=schedule.daily_cap,
        ),
        ladder=Ladder(
            attempts=ladder.attempts,
            retry_after=ladder.retry_after,
            then=tuple(HumanStep(step.task, step.within) for step in ladder.then),
        ),
    )


def _dialog_problems(dialog: object, dialogs: Collection[str], source: Source) -> list[Problem]:
    known = sorted({_LANGUAGE.sub("", name) for name in dialogs})
    if not isinstance(dialog, str) or dialog in known:
        return []
    text = f"there is no dialog `{dialog}`{_instead(dialog, known)}"
    if dialog in dialogs:
        text = f"`dialog` is `{dialog}`; leave the language out: it is the person's own"
    return [Problem(source.line(("dialog",)), text)]


def _shape_problems(error: ValidationError, source: Source) -> list[Problem]:
    problems = []
    for each in error.errors(include_url=False):
        if each["type"] == "too_short" and each["input"]:
            continue  # it has parts, all of them wrong and told of
        loc: Location = tuple(part for part in each["loc"] if part != _KEY)
        text = _shape_text(each["type"], loc, each.get("input"), each["msg"])
        problems.append(Problem(source.line(loc), text))
    return problems


def _shape_text(kind: str, loc: Location, value: Any, message: str) -> str:
    keys = [part for part in loc if isinstance(part, str)]
    name = f"`{keys[-1]}`" if keys else "the file"
    match kind:
        case "missing":
            return f"{f'`{keys[-2]}`' if len(keys) > 1 else 'the file'} lacks {name}; add it"
        case "extra_forbidden":
            model = _PARTS[keys[-2]] if len(keys) > 1 else CampaignPart
            return f"{name} is not known here{_instead(keys[-1], list(model.model_fields))}"
        case "enum" | "literal_error":
            known = {"weekdays": WEEKDAYS, "task": tuple(TaskKind)}.get(keys[-1], RETRIED)
            wrong = f"{name} is not known here" if value == keys[-1] else f"{name} has {shown(value)}"
            return wrong + _instead(str(value), known)
        case "string_pattern_mismatch" if keys == ["dialog"]:
            return f"{name} is {shown(value)}; write the name of a dialog without its language, such as wellbeing"
        case "wanted":
            return f"{name}: {message}" if isinstance(value, list | dict) else f"{name} is {shown(value)}; {message}"
        case _:
            return f"{name} is {shown(value)}; {_WANTED.get(kind, message)}"


_WANTED = {
    "string_type": "write a text; put numbers in quotes",
    "string_pattern_mismatch": "write a text of up to 200 letters on one line",
    "int_type": "write a whole number, without quotes",
    "greater_than_equal": "write 1 or more",
    "tuple_type": "write a list, such as [09:30, 16:00]",
    "too_short": "write at least one",
    "too_long": "leave some out",
    "model_type": "write `key: value` lines under it",
    "dict_type": "write `key: value` lines under it",
}


def _instead(wrong: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(wrong, known, n=1)
    return f"; did you mean `{near[0]}`?" if near else f"; known are {', '.join(known)}"


def as_plain(campaign: Campaign) -> dict[str, Any]:
    """What a campaign's file holds, as plain values."""
    schedule, ladder = campaign.schedule, campaign.ladder
    return {
        "name": campaign.name,
        "dialog": campaign.dialog,
        "starts_on": campaign.starts_on.isoformat(),
        **({"ends_on": campaign.ends_on.isoformat()} if campaign.ends_on else {}),
        "schedule": {
            "times": [f"{clock:%H:%M}" for clock in schedule.times],
            "weekdays": [WEEKDAYS[day] for day in sorted(schedule.weekdays)],
            "window": {"opens": f"{schedule.window.opens:%H:%M}", "closes": f"{schedule.window.closes:%H:%M}"},
            **({"holidays": schedule.holidays} if schedule.holidays else {}),
            "open_for": _duration_words(schedule.open_for),
            "daily_cap": schedule.daily_cap,
        },
        "ladder": {
            "attempts": ladder.attempts,
            "retry_after": {ending.value: _duration_words(wait) for ending, wait in ladder.retry_after.items()},
            "then": [{"task": step.kind.value, "within": _duration_words(step.within)} for step in ladder.then],
        },
    }


def as_yaml(campaign: Campaign) -> str:
    """A file from which ``load_campaign`` reads the same campaign."""
    writer, text = YAML(typ="safe", pure=True), StringIO()
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.allow_unicode, writer.width = True, 200
    writer.dump(as_plain(campaign), text)
    return text.getvalue()


def _duration_words(duration: timedelta) -> str:
    seconds = int(duration.total_seconds())
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
