"""Imports a list of people: all of its lines or none, or the good ones with the others put aside."""

import contextlib
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from carecall.errors import ImportFileError
from carecall.exchange.people_file import OF_THE_CAMPAIGN, Column, Defaults, PeopleFile, Problem, read_people
from carecall.exchange.table_file import Line, write_csv
from carecall.store import Store
from carecall.store.people import Fate, Person, Refusal
from carecall.store.tables import DEFAULT_ORGANISATION

Track = Callable[[Sequence[Line]], Iterator[Line]]


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator wants of an import."""

    campaign: str = ""
    dry_run: bool = False
    skip_wrong: bool = False
    update: bool = False
    sheet: str = ""
    encoding: str = ""
    defaults: Defaults = field(default_factory=Defaults)
    organisation_id: uuid.UUID = DEFAULT_ORGANISATION


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What was done, or with a dry run or wrong lines would have been done."""

    file: str
    lines: int
    imported: bool  # False: nothing was written
    added: int
    known: int
    changed: int
    enrolled: int
    consents: int  # newly recorded
    without_consent: int  # of those enrolled
    problems: tuple[Problem, ...]
    rejected: int  # lines with problems
    rejected_file: Path | None


def import_people(
    store: Store,
    path: Path,
    options: Options,
    *,
    actor: str,
    reading: Track = iter,
    writing: Callable[[int, int], None] = lambda _done, _total: None,
) -> ImportResult:
    """Reads, checks and imports a list in one transaction.

    Problems are in the result, all of them. Raises ImportFileError when the file as a whole cannot be imported, and
    StoreError when there is no such campaign or the database refuses.
    """
    campaign = store.people.campaign(options.campaign, options.organisation_id) if options.campaign else None
    now = store.now()
    if campaign is not None and campaign.ends_on is not None and campaign.ends_on < now.date():
        raise ImportFileError(f"The campaign {campaign.name!r} ended on {campaign.ends_on}: nobody can be enrolled.")
    file = read_people(
        path, options.defaults, now=now, sheet=options.sheet, encoding=options.encoding, progress=reading
    )
    if campaign is None:
        _refuse_what_a_campaign_keeps(file)
    people = list(file.people.values())
    dry_run = options.dry_run or (bool(file.problems) and not options.skip_wrong)
    with contextlib.ExitStack() as stack:
        aside = None
        if options.skip_wrong and not dry_run:
            aside = stack.enter_context(_Aside(path))
        fates = store.people.import_people(
            people,
            campaign_id=campaign.id if campaign else None,
            update=options.update,
            skip_refused=options.skip_wrong,
            dry_run=dry_run,
            actor=actor,
            progress=lambda done: writing(done, len(people)),
            organisation_id=options.organisation_id,
        )
        refused = [
            refusal_of(number, person, fate)
            for (number, person), fate in zip(file.people.items(), fates, strict=True)
            if fate.refusal is not None
        ]
        problems = sorted([*file.problems, *refused], key=lambda problem: problem.line)
        rejected_file = aside.keep(file, problems) if aside is not None and problems else None
    written = not dry_run and (options.skip_wrong or not refused)
    return _result(file, people, fates, problems, written, rejected_file, enrolls=campaign is not None)


def _refuse_what_a_campaign_keeps(file: PeopleFile) -> None:
    held = [column for column in OF_THE_CAMPAIGN if column in file.columns]
    if held:
        raise ImportFileError(
            f"{file.table.name} has {' and '.join(held)}, which is recorded with a campaign: "
            "say --campaign NAME, or leave it out with --ignore."
        )


def refusal_of(line: int, person: Person, fate: Fate) -> Problem:
    """Why the person of a line, whose fate is to be refused, is not taken in."""
    match fate.refusal:
        case Refusal.OPTED_OUT:
            end = f"…{person.phone[-2:]}"
            message = f"phone '{end}' belongs to somebody who asked not to be called; take it out"
            return Problem(line, Column.PHONE, message, "opted_out", {"end": end})
        case Refusal.CONSENT_RECORDED:
            mend = f"if they want no calls: carecall people opt-out {fate.known}"
            message = f"consent is recorded, and this line says no; {mend}"
            return Problem(line, Column.CONSENT, message, "consent_recorded")
        case _:
            fields = ", ".join(fate.changes)
            message = f"known already, with another {fields}; say --update to record what this line says"
            return Problem(line, fate.changes[0] if fate.changes else "", message, "differs", {"fields": fields})


def _result(
    file: PeopleFile,
    people: Sequence[Person],
    fates: Sequence[Fate],
    problems: Sequence[Problem],
    written: bool,
    rejected_file: Path | None,
    *,
    enrolls: bool,
) -> ImportResult:
    taken = [(person, fate) for person, fate in zip(people, fates, strict=True) if fate.refusal is None]
    return ImportResult(
        file=file.table.name,
        lines=len(file.table.lines),
        imported=written,
        added=sum(fate.known is None for _, fate in taken),
        known=sum(fate.known is not None for _, fate in taken),
        changed=sum(bool(fate.changes) for _, fate in taken),
        enrolled=sum(fate.enrolls for _, fate in taken),
        consents=sum(fate.consents for _, fate in taken),
        without_consent=sum(fate.enrolls and person.consent_at is None for person, fate in taken) if enrolls else 0,
        problems=tuple(problems),
        rejected=len({problem.line for problem in problems}),
        rejected_file=rejected_file,
    )


class _Aside:
    """The file that wrong lines are put into: made before anything is imported, kept only when it is needed."""

    def __init__(self, source: Path) -> None:
        self._target = source.with_name(f"{source.name}.rejected.csv")
        self._kept = False

    def __enter__(self) -> "_Aside":
        try:
            handle, name = tempfile.mkstemp(prefix=".", suffix=".rejected.csv", dir=self._target.parent)
        except OSError as error:
            raise ImportFileError(
                f"{self._target} cannot be written ({error.strerror}), so wrong lines have nowhere to go: "
                "nothing is imported."
            ) from None
        self._file: TextIO = os.fdopen(handle, "w", encoding="utf-8-sig", newline="")  # Excel needs the mark
        self._name = name
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if not self._kept:
            Path(self._name).unlink(missing_ok=True)

    def keep(self, file: PeopleFile, problems: Sequence[Problem]) -> Path:
        """Writes the lines with their reasons in a last column."""
        try:
            write_csv(self._file, rejected_rows(file, problems))
            self._file.close()
            os.replace(self._name, self._target)
        except OSError as error:
            numbers = ", ".join(map(str, sorted({problem.line for problem in problems})))
            raise ImportFileError(
                f"The good lines are imported, but {self._target} could not be written ({error.strerror}). "
                f"Wrong lines: {numbers}."
            ) from None
        self._kept = True
        return self._target


def rejected_rows(file: PeopleFile, problems: Sequence[Problem]) -> list[list[str]]:
    """The headings and the lines with problems, as they were written, with the reasons in a last column."""
    reasons: dict[int, list[str]] = {}
    for problem in problems:
        reasons.setdefault(problem.line, []).append(problem.message)
    old = [place for place, cell in enumerate(file.table.heading.cells) if cell.casefold() == Column.REASON]
    width = len(file.table.heading.cells)

    def row(cells: Sequence[str], reason: str) -> list[str]:
        padded = [*cells, *[""] * (width - len(cells))]
        return [*[cell for place, cell in enumerate(padded) if place not in old], reason]

    lines = [row(line.cells, "; ".join(reasons[line.number])) for line in file.table.lines if line.number in reasons]
    return [row(file.table.heading.cells, Column.REASON), *lines]
