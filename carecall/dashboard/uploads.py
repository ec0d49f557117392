"""Lists of people that were sent to be imported: checked first, then imported, kept in memory for half an hour."""

import asyncio
import dataclasses
import io
import logging
import secrets
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from carecall.domain.viewer import Viewer
from carecall.errors import CareCallError, StoreNotFound
from carecall.exchange.people_file import OF_THE_CAMPAIGN, Column, Defaults, PeopleFile, Problem, read_people
from carecall.exchange.people_import import refusal_of, rejected_rows
from carecall.exchange.table_file import FileInMemory, Line, write_csv
from carecall.store import Store
from carecall.store.people import Fate, Person

logger = logging.getLogger(__name__)

KEPT_FOR = timedelta(minutes=30)
AT_ONCE = 8  # lists in memory, of everybody
PAGE = 100  # lines
_SHOWN = 60  # letters of a cell
_PORTION = 200  # people in one transaction: calls that are under way write in between

T = TypeVar("T")


class TooMany(CareCallError):
    """Too many lists are being imported at this moment."""

    code = "too_many_uploads"


class Phase(StrEnum):
    CHECKING = "checking"
    CHECKED = "checked"
    IMPORTING = "importing"
    DONE = "done"
    REFUSED = "refused"  # it is no list of people


class Kind(StrEnum):
    """What an import means for a line."""

    OK = "ok"
    KNOWN = "known"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class CheckedLine:
    number: int
    name: str
    phone: str
    kind: Kind
    problems: tuple[Problem, ...]


@dataclass(slots=True)
class Upload:
    """A list on its way in."""

    token: str
    session: str  # the digest of the cookie of the browser that sent it
    viewer: Viewer
    file_name: str
    campaign_id: UUID | None
    campaign: str
    update: bool
    defaults: Defaults
    used_at: datetime
    phase: Phase = Phase.CHECKING
    done: int = 0
    total: int = 0
    trouble: str = ""  # what stopped it, in English
    needs_campaign: bool = False  # it tells of consents, which are kept with a campaign
    file: PeopleFile | None = None
    problems: list[Problem] = field(default_factory=list)
    lines: tuple[CheckedLine, ...] = ()
    fates: list[Fate] = field(default_factory=list)  # of those who were taken in
    job: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        return self.phase in (Phase.CHECKING, Phase.IMPORTING)

    @property
    def counts(self) -> Mapping[Kind, int]:
        return {kind: sum(line.kind is kind for line in self.lines) for kind in Kind}

    def page(self, kind: Kind | None, after: int) -> tuple[Sequence[CheckedLine], int]:
        """A page of the lines of a kind, or of all, after a line; and the last of them when there are more."""
        lines = [line for line in self.lines if (kind is None or line.kind is kind) and line.number > after]
        return lines[:PAGE], lines[PAGE - 1].number if len(lines) > PAGE else 0

    def rejected(self, tell: Callable[[Problem], str]) -> str:
        """The wrong lines as a CSV file, each with its reasons."""
        written = io.StringIO(newline="")
        if self.file is not None:
            write_csv(
                written,
                rejected_rows(self.file, [dataclasses.replace(each, message=tell(each)) for each in self.problems]),
            )
        return written.getvalue()


class Uploads:
    """What is kept of lists, in memory alone: of the last one that each session sent."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[str, Upload] = {}

    def begin(
        self,
        viewer: Viewer,
        session: str,
        file: FileInMemory,
        *,
        campaign: tuple[UUID, str] | None,
        update: bool,
        defaults: Defaults,
    ) -> str:
        """Checks a list. Gives the name it goes by. Raises TooMany."""
        self._sweep()
        for other in [each for each in self._kept.values() if each.session == session and not each.running]:
            del self._kept[other.token]
        if len(self._kept) >= AT_ONCE:
            raise TooMany
        upload = Upload(
            secrets.token_urlsafe(16),
            session,
            viewer,
            file.name,
            campaign[0] if campaign else None,
            campaign[1] if campaign else "",
            update,
            defaults,
            self._store.now(),
        )
        self._kept[upload.token] = upload
        upload.job = asyncio.create_task(self._run(upload, self._check(upload, file)))
        asyncio.get_running_loop().call_later(KEPT_FOR.total_seconds() + 1, self._sweep)
        return upload.token

    def of(self, viewer: Viewer, session: str, token: str) -> Upload:
        """Raises StoreNotFound when it is not there any more, or of another session."""
        self._sweep()
        upload = self._kept.get(token)
        if upload is None or upload.session != session or upload.viewer.user_id != viewer.user_id:
            raise StoreNotFound
        upload.used_at = self._store.now()
        return upload

    def confirm(self, upload: Upload) -> None:
        """Imports the good lines; once."""
        if upload.phase is Phase.CHECKED and upload.file is not None:
            upload.phase, upload.done, upload.total, upload.trouble = Phase.IMPORTING, 0, len(upload.file.people), ""
            upload.job = asyncio.create_task(self._run(upload, self._import(upload, upload.file)))

    def discard(self, upload: Upload) -> None:
        """Forgets a list, unless it is being imported."""
        if upload.phase is not Phase.IMPORTING:
            self._kept.pop(upload.token, None)
            if upload.job is not None:
                upload.job.cancel()

    def _sweep(self) -> None:
        oldest = self._store.now() - KEPT_FOR
        self._kept = {token: each for token, each in self._kept.items() if each.running or each.used_at > oldest}

    async def _run(self, upload: Upload, job: Coroutine[None, None, None]) -> None:
        """What stops a list is told on its page; what was imported until then stays, and is known the next time."""
        before = Phase.REFUSED if upload.phase is Phase.CHECKING else Phase.CHECKED
        try:
            await job
        except CareCallError as error:
            upload.phase, upload.trouble = before, str(error)
        except Exception as error:  # noqa: BLE001 - the boundary of a job
            logger.error("a list of people could not be taken in: %s", type(error).__name__)
            upload.phase, upload.trouble = before, "Something went wrong in CareCall."

    async def _check(self, upload: Upload, file: FileInMemory) -> None:
        now = self._store.now()

        def track(lines: Sequence[Line]) -> Iterator[Line]:
            upload.total = len(lines)
            for upload.done, line in enumerate(lines, 1):
                yield line

        checked = await asyncio.to_thread(read_people, file, upload.defaults, now=now, progress=track)
        if upload.campaign_id is None and any(column in checked.columns for column in OF_THE_CAMPAIGN):
            upload.phase, upload.needs_campaign = Phase.REFUSED, True
            return
        fates: list[Fate] = []
        for portion in _portions(list(checked.people.values())):
            fates += await self._take_in(upload, portion, dry_run=True)
        refused = [
            refusal_of(number, person, fate)
            for (number, person), fate in zip(checked.people.items(), fates, strict=True)
            if fate.refusal is not None
        ]
        upload.problems = sorted([*checked.problems, *refused], key=lambda problem: problem.line)
        upload.lines = tuple(_checked_lines(checked, fates, upload.problems))
        upload.file, upload.phase = checked, Phase.CHECKED

    async def _import(self, upload: Upload, file: PeopleFile) -> None:
        upload.fates = []
        for portion in _portions(list(file.people.items())):
            fates = await self._take_in(upload, [person for _, person in portion], dry_run=False)
            told = {problem.line for problem in upload.problems}
            for (number, person), fate in zip(portion, fates, strict=True):
                if fate.refusal is None:
                    upload.fates.append(fate)
                elif number not in told:  # somebody opted out since the list was checked
                    upload.problems.append(refusal_of(number, person, fate))
            upload.done += len(portion)
        upload.phase = Phase.DONE

    async def _take_in(self, upload: Upload, people: Sequence[Person], *, dry_run: bool) -> list[Fate]:
        return await self._store.run(
            self._store.people.import_people,
            people,
            campaign_id=upload.campaign_id,
            update=upload.update,
            skip_refused=True,
            dry_run=dry_run,
            actor=str(upload.viewer.user_id),
            organisation_id=upload.viewer.organisation_id,
        )


def _portions(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), _PORTION):
        yield values[start : start + _PORTION]


def _checked_lines(file: PeopleFile, fates: Sequence[Fate], problems: Sequence[Problem]) -> Iterator[CheckedLine]:
    known = {number for number, fate in zip(file.people, fates, strict=True) if fate.known is not None}
    wrong: dict[int, list[Problem]] = {}
    for problem in problems:
        wrong.setdefault(problem.line, []).append(problem)
    for line in file.table.lines:
        name, phone = (file.cell(line, column)[:_SHOWN] for column in (Column.NAME, Column.PHONE))
        kind = Kind.WRONG if line.number in wrong else Kind.KNOWN if line.number in known else Kind.OK
        yield CheckedLine(line.number, name, phone, kind, tuple(wrong.get(line.number, ())))
