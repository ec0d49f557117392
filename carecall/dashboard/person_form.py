"""The form of one person and of a consent: what was typed, checked as a line of a list is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import phonenumbers
from babel.core import get_global
from starlette.datastructures import FormData

from carecall.dashboard.words import Words
from carecall.domain.viewer import Viewer
from carecall.exchange.people_file import Column, Defaults, Problem, check_person
from carecall.outreach.local_days import known_zone
from carecall.store.care_people import Details
from carecall.store.people import Person
from carecall.store.tables import ConsentSource

_DETAILS = (
    Column.NAME,
    Column.PHONE,
    Column.LANGUAGE,
    Column.TIME_ZONE,
    Column.OPENS,
    Column.CLOSES,
    Column.PATIENCE_S,
    Column.RECORDING_CONSENT,
    Column.NOTES,
)


@dataclass(frozen=True, slots=True)
class Typed:
    """A form as it was typed, and what is wrong with it beside each field."""

    values: Mapping[str, str]
    troubles: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")


def read_person(form: FormData, viewer: Viewer, now: datetime) -> tuple[Typed, Person | None]:
    """A person from a form, checked as a line of a list is."""
    values = strings_of(form)
    cells = {column: values.get(column.value, "") for column in _DETAILS}
    person, problems = check_person(cells, Defaults(country_of(viewer)), now)
    words = Words(viewer.language)
    troubles: dict[str, str] = {}
    for problem in problems:
        troubles.setdefault(problem.column or "name", problem_words(problem, words))
    return Typed(values, troubles), person


def wrong(typed: Typed, viewer: Viewer, name: str, code: str) -> Typed:
    """The form with one more trouble, beside the field of that name."""
    return Typed(typed.values, {**typed.troubles, name: Words(viewer.language)(f"people.wrong.{code}")})


def typed_of(details: Details) -> Typed:
    """The form as it would be typed for what is recorded."""

    def clock(at: time | None) -> str:
        return f"{at:%H:%M}" if at else ""

    return Typed(
        {
            "name": details.name,
            "phone": details.phone,
            "language": details.language.value,
            "time_zone": details.time_zone,
            "opens": clock(details.opens),
            "closes": clock(details.closes),
            "patience_s": f"{details.patience_s:g}" if details.patience_s else "",
            "recording_consent": _day(details.recording_consent_at, details.time_zone),
            "notes": details.notes,
        }
    )


def _day(at: datetime | None, zone: str) -> str:
    """The day on the person's own clock, as a form takes it."""
    return f"{at.astimezone(known_zone(zone) or UTC):%Y-%m-%d}" if at else ""


def consent_of(
    typed: Typed, viewer: Viewer, now: datetime, *, required: bool
) -> tuple[tuple[datetime | None, ConsentSource | None], dict[str, str]]:
    """Day and source of a consent, or what is wrong with them; neither stands for none."""
    words, troubles = Words(viewer.language), dict[str, str]()
    day, source = typed["consent_day"], typed["consent_source"]
    if not day and not source and not required:
        return (None, None), troubles
    zone = ZoneInfo(viewer.time_zone)
    at = None
    try:
        at = datetime.combine(date.fromisoformat(day), time(), zone)
    except ValueError:
        troubles["consent_day"] = words("people.wrong.consent_day")
    if at is not None and at > now:
        troubles["consent_day"] = words("people.wrong.consent_ahead")
    if source not in (ConsentSource.WRITTEN, ConsentSource.SPOKEN):
        troubles["consent_source"] = words("people.wrong.consent_source")
    return (None, None) if troubles else (at, ConsentSource(source)), troubles


def strings_of(form: FormData) -> dict[str, str]:
    """The fields of a form without its files."""
    return {key: value for key, value in form.items() if isinstance(value, str)}


def numbers_of(text: str, viewer: Viewer) -> tuple[str, ...]:
    """The number that a text is, if it is one; without country code it is one of the viewer's country."""
    try:
        number = phonenumbers.parse(text, country_of(viewer))
    except phonenumbers.NumberParseException:
        return ()
    return (phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164),)


def country_of(viewer: Viewer) -> str | None:
    """Where the viewer's clock is kept: numbers without country code are of that country."""
    country = get_global("zone_territories").get(viewer.time_zone)
    return str(country) if country in phonenumbers.SUPPORTED_REGIONS else None


def problem_words(problem: Problem, words: Words) -> str:
    """What is wrong with a line or a field, in the viewer's language."""
    values = dict(problem.values)
    if fields := values.get("fields"):
        values["fields"] = ", ".join(words(f"people.field.{name}") for name in fields.split(", "))
    column = words(f"people.field.{problem.column}") if problem.column else ""
    return words(f"people.problem.{problem.code}", **{"column": column, **values})
