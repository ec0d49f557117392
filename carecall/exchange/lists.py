"""What may be taken away as a table: the people, a day, the calls and the findings of a period."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from carecall.dialog.definition import Dialog
from carecall.domain.finding import Finding, FindingValue
from carecall.domain.record import Person, ReportedCall
from carecall.domain.viewer import Viewer
from carecall.exchange.spreadsheet import Cell, Sheet
from carecall.store.care import Care
from carecall.store.care_exchange import ListedCall, ListedDay, ListedPerson, Span

PAGE = 500  # records that are read at once

T = TypeVar("T")
After = TypeVar("After")
Say = Callable[[str], str]  # the text of a key of the catalogs, such as exchange.name


class Listing(StrEnum):
    PEOPLE = "people"
    TODAY = "today"
    CALLS = "calls"
    FINDINGS = "findings"


_HEADINGS = {
    Listing.PEOPLE: "id name phone language time_zone campaigns consent opted_out added notes",
    Listing.TODAY: "id name phone day state call",
    Listing.CALLS: (
        "call id name phone campaign direction number state outcome urgency planned dialed answered ended seconds"
        " summary corrected"
    ),
    Listing.FINDINGS: "call id name began finding question value unit words corrected original reason",
}


@dataclass(frozen=True, slots=True)
class Period:
    """Local days, both of them in it."""

    first: date
    last: date

    def span(self, zone: ZoneInfo) -> Span:
        """From the beginning of the first day until the end of the last, on the clock of the zone."""
        ends = self.last + timedelta(days=1) if self.last < date.max else self.last
        return Span(datetime.combine(self.first, time(), zone), datetime.combine(ends, time(), zone))


def listing(
    care: Care,
    viewer: Viewer,
    what: Listing,
    period: Period,
    say: Say,
    dialog_of: Callable[[ReportedCall], Dialog | None],
) -> Sheet:
    """The table, whose rows are read a page at a time while it is written. A day's list is of the last day.

    The rows raise StoreError.
    """
    heading = [say(f"exchange.{column}") for column in _HEADINGS[what].split()]
    span = period.span(ZoneInfo(viewer.time_zone))
    return Sheet(say(f"exchange.{what}"), heading, _rows(care, viewer, what, period, span, say, dialog_of))


def _rows(
    care: Care,
    viewer: Viewer,
    what: Listing,
    period: Period,
    span: Span,
    say: Say,
    dialog_of: Callable[[ReportedCall], Dialog | None],
) -> Iterator[Sequence[Cell]]:
    match what:
        case Listing.PEOPLE:
            people = _every(lambda after: care.listed_people(viewer, after=after, limit=PAGE), _of_person)
            yield from (_person_row(each, say) for each in people)
        case Listing.TODAY:
            days = _every(lambda after: care.listed_day(viewer, period.last, after=after, limit=PAGE), _of_day)
            yield from (_day_row(each, say) for each in days)
        case Listing.CALLS:
            calls = _every(lambda after: care.listed_calls(viewer, span, after=after, limit=PAGE), _of_call)
            yield from (_call_row(each, say) for each in calls)
        case Listing.FINDINGS:
            for person, call in reported(care, viewer, span):
                yield from _finding_rows(person, call, dialog_of(call), say)


def reported(
    care: Care, viewer: Viewer, span: Span, *, recipient_id: UUID | None = None
) -> Iterator[tuple[Person, ReportedCall]]:
    """Every call that began in the span and has its report, by the moment that it was written."""
    return _every(
        lambda after: care.reported(viewer, recipient_id=recipient_id, began=span, after=after, limit=PAGE),
        lambda each: (each[1].written_at, each[1].attempt_id),
    )


def _every(page_after: Callable[[After | None], list[T]], place_of: Callable[[T], After]) -> Iterator[T]:
    after: After | None = None
    while page := page_after(after):
        yield from page
        if len(page) < PAGE:
            return
        after = place_of(page[-1])


def _of_person(each: ListedPerson) -> UUID:
    return each.person.id


def _of_day(each: ListedDay) -> UUID:
    return each.person.id


def _of_call(each: ListedCall) -> tuple[datetime, UUID]:
    return each.planned_at, each.attempt_id


def _word(say: Say, value: StrEnum | bool | None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return say("exchange.is.yes" if value else "exchange.is.no")
    return say(f"exchange.is.{value.value}")


def _person_row(each: ListedPerson, say: Say) -> Sequence[Cell]:
    return (
        str(each.person.id),
        each.person.name,
        each.person.phone,
        _word(say, each.person.language),
        each.person.time_zone,
        ", ".join(each.campaigns),
        _word(say, each.consented),
        _word(say, each.opted_out),
        each.created_at,
        each.notes,
    )


def _day_row(each: ListedDay, say: Say) -> Sequence[Cell]:
    call = str(each.attempt_id) if each.attempt_id is not None else None
    return str(each.person.id), each.person.name, each.person.phone, each.day, _word(say, each.state), call


def _call_row(each: ListedCall, say: Say) -> Sequence[Cell]:
    answered, ended = each.answered_at, each.ended_at
    return (
        str(each.attempt_id),
        str(each.person.id),
        each.person.name,
        each.person.phone,
        each.campaign,
        _word(say, each.direction),
        each.number,
        _word(say, each.state),
        _word(say, each.outcome),
        _word(say, each.urgency),
        each.planned_at,
        each.dialed_at,
        answered,
        ended,
        round((ended - answered).total_seconds()) if answered is not None and ended is not None else None,
        each.summary,
        each.corrected_at,
    )


def _finding_rows(person: Person, call: ReportedCall, dialog: Dialog | None, say: Say) -> Iterator[Sequence[Cell]]:
    newest = {each.code: each for each in sorted(call.corrections, key=lambda each: each.at)}
    questions = {each.code: each.ask[0] for each in dialog.agenda} if dialog is not None else {}
    for finding in call.report.findings:
        correction = newest.get(finding.code)
        yield (
            str(call.attempt_id),
            str(person.id),
            person.name,
            call.began_at,
            finding.code,
            questions.get(finding.code, ""),
            _value(say, correction.value if correction is not None else finding.value),
            finding.unit.value if finding.unit is not None else "",
            _words(finding),
            correction.at if correction is not None else None,
            _value(say, finding.value) if correction is not None else None,
            correction.reason if correction is not None else "",
        )


def _words(finding: Finding) -> str:
    return " / ".join(each.quote for each in finding.evidence)


def _value(say: Say, value: FindingValue) -> Cell:
    return _word(say, value) if isinstance(value, StrEnum) else value
