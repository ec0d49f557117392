"""Reads for the interface what calls are told as, page by page, and tells each read in the audit trail."""

import asyncio
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from fastapi import Response

from carecall.dashboard.api_access import FhirResponse
from carecall.dashboard.api_request import Asked, cut_of
from carecall.dashboard.findings import known_dialog
from carecall.dialog.definition import Dialog
from carecall.domain.record import Person, ReportedCall
from carecall.errors import StoreNotFound
from carecall.exchange import fhir
from carecall.exchange.fhir import Resource
from carecall.exchange.fhir_search import Cut
from carecall.settings import Settings
from carecall.store import Store

_CALLS = 50  # that are read at once

Make = Callable[[ReportedCall, Dialog | None], list[Resource]]


class Records:
    def __init__(self, store: Store, settings: Settings) -> None:
        self.run, self.care = store.run, store.care
        self._now = store.now
        self._dialogs_dir = settings.dialogs_dir

    async def person(self, asked: Asked, id_: uuid.UUID | None) -> Person:
        """Raises StoreNotFound."""
        if id_ is None:
            raise StoreNotFound
        return await self.run(self.care.known_person, asked.viewer, id_)

    async def call(self, asked: Asked, attempt_id: uuid.UUID | None) -> ReportedCall:
        """Raises StoreNotFound."""
        if attempt_id is not None:
            for _, call in await self.run(self.care.reported, asked.viewer, attempt_id=attempt_id, limit=1):
                return call
        raise StoreNotFound

    async def dialog_of(self, call: ReportedCall) -> Dialog | None:
        report = call.report
        return await asyncio.to_thread(known_dialog, self._dialogs_dir, report.dialog_id, report.dialog_language)

    async def made_of(self, call: ReportedCall, make: Make) -> list[Resource]:
        return make(call, await self.dialog_of(call))

    async def page(
        self, asked: Asked, make: Make, count: int, cursor: str | None, **wanted: Any
    ) -> tuple[list[Resource], dict[str, str]]:
        """A page of what the calls are made into, and its links. Raises QueryError."""
        cut = cut_of(cursor)
        found: list[Resource] = []
        while True:
            calls = await self.run(self.care.reported, asked.viewer, after=cut.place, limit=_CALLS, **wanted)
            for _, call in calls:
                made = await self.made_of(call, make)
                for index in range(cut.index, len(made)):
                    if len(found) == count:
                        return found, {"self": asked.here, "next": asked.page(Cut(cut.place, index))}
                    found.append(made[index])
                cut = Cut((call.written_at, call.attempt_id))
            if len(calls) < _CALLS:
                return found, {"self": asked.here}

    async def told(self, asked: Asked, what: str, people: Iterable[uuid.UUID]) -> None:
        """An entry of the audit trail under each person who was read; under the organisation when nobody was."""
        subjects = [f"recipient:{id_}" for id_ in dict.fromkeys(people)]
        nobody = [f"organisation:{asked.viewer.organisation_id}"]
        await self.run(self.care.note_read, asked.actor, "api.read", subjects or nobody, what=what)

    def searched(
        self, asked: Asked, found: list[Resource], links: dict[str, str], included: Iterable[Resource] = ()
    ) -> Response:
        base = f"{asked.origin}/api/fhir"
        return FhirResponse(fhir.bundle("searchset", base, found, now=self._now(), included=included, links=links))
