"""A person's rights, as the law gives them: a copy of all that is kept of them, and its erasure."""

import os
import tempfile
from collections.abc import Iterator
from typing import IO, Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from carecall.dashboard.dashboard import Dashboard
from carecall.domain.viewer import Role, Viewer
from carecall.exchange.person_file import write_person
from carecall.store.rights import EmergencyOpen, PersonFile, PersonInCall

_IN_MEMORY = 16 * 2**20  # bytes of a copy; a larger one is put into a file without a name meanwhile
_PIECE = 2**16


def add_rights(router: APIRouter, dashboard: Dashboard) -> None:
    store, care = dashboard.store, dashboard.store.care
    Supervisor = Annotated[Viewer, Depends(dashboard.needs(Role.SUPERVISOR))]  # noqa: N806
    Admin = Annotated[Viewer, Depends(dashboard.needs(Role.ADMIN))]  # noqa: N806

    async def erasure_page(
        request: Request, viewer: Viewer, recipient_id: UUID, *, trouble: str = "", status: int = 200
    ) -> Response:
        details = await store.run(care.person_details, viewer, recipient_id)
        return dashboard.page(request, viewer, "person_erase.html", status=status, person=details, trouble=trouble)

    @router.get("/people/{recipient_id}/copy.zip")
    async def copy(viewer: Supervisor, recipient_id: UUID) -> Response:
        """All that is kept of the person, to be handed to them."""
        person = await store.run(care.copy_of_person, viewer, recipient_id)
        headers = {"Content-Disposition": f'attachment; filename="carecall-{recipient_id}.zip"'}
        return StreamingResponse(_pieces(person), media_type="application/zip", headers=headers)

    @router.post("/people/{recipient_id}/recordings/delete")
    async def delete_recordings(viewer: Supervisor, recipient_id: UUID) -> Response:
        deleted = await store.run(care.delete_recordings, viewer, recipient_id)
        return RedirectResponse(f"/people/{recipient_id}?done=recordings_deleted&n={deleted}", 303)

    @router.get("/people/{recipient_id}/erase")
    async def ask_before_erasure(request: Request, viewer: Admin, recipient_id: UUID) -> Response:
        return await erasure_page(request, viewer, recipient_id)

    @router.post("/people/{recipient_id}/erase")
    async def erase(
        request: Request, viewer: Admin, recipient_id: UUID, confirmed: Annotated[str, Form()] = ""
    ) -> Response:
        if confirmed != "yes":
            return RedirectResponse(f"/people/{recipient_id}/erase", 303)
        try:
            erased = await store.run(care.erase_person, viewer, recipient_id)
        except PersonInCall:
            return await erasure_page(request, viewer, recipient_id, trouble="in_call", status=409)
        except EmergencyOpen:
            return await erasure_page(request, viewer, recipient_id, trouble="emergency", status=409)
        return RedirectResponse(f"/people?done={'erased_but_number' if erased.number_kept else 'erased'}", 303)


def _pieces(person: PersonFile) -> Iterator[bytes]:
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
        archive: IO[bytes] = file
        write_person(archive, person)
        archive.seek(0, os.SEEK_SET)
        while piece := archive.read(_PIECE):
            yield piece
