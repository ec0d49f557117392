"""What a supervisor takes away: lists as tables, a person as FHIR, a call's transcript and audio."""

import asyncio
import json
from datetime import date, timedelta
from enum import StrEnum
from itertools import chain
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from carecall.dashboard.api_request import origin_of
from carecall.dashboard.dashboard import Dashboard
from carecall.dashboard.findings import known_dialog
from carecall.dashboard.sound import sound_response
from carecall.dashboard.words import Words
from carecall.dialog.definition import Dialog
from carecall.domain.record import ReportedCall
from carecall.domain.turn import Speaker
from carecall.domain.viewer import Role, Viewer
from carecall.exchange import fhir
from carecall.exchange.lists import Listing, Period, listing, reported
from carecall.exchange.spreadsheet import SheetFormat, pieces
from carecall.store.care_exchange import Span, Transcript

_LONGEST = timedelta(days=366)


class TranscriptFormat(StrEnum):
    TEXT = "txt"
    HTML = "html"
    JSON = "json"


def add_downloads(router: APIRouter, dashboard: Dashboard) -> None:
    settings, store = dashboard.settings, dashboard.store
    care, run = store.care, store.run
    Supervisor = Annotated[Viewer, Depends(dashboard.needs(Role.SUPERVISOR))]  # noqa: N806

    def dialog_of(call: ReportedCall) -> Dialog | None:
        return known_dialog(settings.dialogs_dir, call.report.dialog_id, call.report.dialog_language)

    @router.get("/downloads")
    async def downloads(request: Request, viewer: Supervisor) -> Response:
        today = dashboard.store.now().astimezone(ZoneInfo(viewer.time_zone)).date()
        first = today - timedelta(days=30)
        return dashboard.page(request, viewer, "downloads.html", listings=list(Listing), first=first, today=today)

    @router.get("/downloads/list")
    async def download(
        viewer: Supervisor,
        what: Listing,
        form: Annotated[SheetFormat, Query(alias="format")] = SheetFormat.XLSX,
        first: Annotated[date | None, Query(alias="from")] = None,
        last: Annotated[date | None, Query(alias="to")] = None,
    ) -> Response:
        """A table, streamed. Without days that of today; a period has at most a year."""
        today = dashboard.store.now().astimezone(ZoneInfo(viewer.time_zone)).date()
        last = last or today
        period = Period(first or last, last)
        if not timedelta() <= period.last - period.first <= _LONGEST:
            raise HTTPException(422, "a period begins before it ends, and has at most a year")
        await run(
            care.note_read,
            str(viewer.user_id),
            f"{what}.exported",
            [f"organisation:{viewer.organisation_id}"],
            format=form.value,
            first=period.first.isoformat(),
            last=period.last.isoformat(),
        )
        sheet = listing(care, viewer, what, period, Words(viewer.language), dialog_of)
        name = f"carecall-{what}-{period.last.isoformat()}.{form}"
        content = pieces(sheet, form, ZoneInfo(viewer.time_zone))
        return StreamingResponse(content, media_type=form.media_type, headers=_attached(name))

    @router.get("/recipients/{recipient_id}/fhir")
    async def person_as_fhir(request: Request, viewer: Supervisor, recipient_id: UUID) -> Response:
        """A Bundle of everything that was found out about one person."""
        await run(care.note_export_of_person, viewer, recipient_id, "fhir", actor=str(viewer.user_id))
        base = f"{origin_of(request, settings)}/api/fhir"

        def bundle() -> str:
            patient = fhir.patient(care.known_person(viewer, recipient_id))
            calls = reported(care, viewer, Span(), recipient_id=recipient_id)
            found = (each for _, call in calls for each in fhir.resources(call, dialog_of(call)))
            return "".join(fhir.collected(base, chain([patient], found), now=store.now()))

        content = await asyncio.to_thread(bundle)  # whole: what fails is no half file
        name = f"carecall-{recipient_id}.fhir.json"
        return Response(content, media_type="application/fhir+json", headers=_attached(name))

    @router.get("/calls/{attempt_id}/transcript.{form}")
    async def transcript(request: Request, viewer: Supervisor, attempt_id: UUID, form: TranscriptFormat) -> Response:
        await run(care.note_export_of_call, viewer, attempt_id, "transcript", actor=str(viewer.user_id))
        said = await run(care.exported_transcript, viewer, attempt_id)
        headers = _attached(f"carecall-{attempt_id}.{form}")
        if form is TranscriptFormat.JSON:
            return Response(as_json(said), media_type="application/json", headers=headers)
        if form is TranscriptFormat.TEXT:
            text = as_text(said, Words(viewer.language), ZoneInfo(viewer.time_zone))
            return Response(text, media_type="text/plain; charset=utf-8", headers=headers)
        page = dashboard.render(viewer.language, "transcript.html", viewer=viewer, transcript=said, clock=clock)
        return Response(page, media_type="text/html; charset=utf-8", headers=headers)

    @router.get("/calls/{attempt_id}/recording.wav")
    async def recording(request: Request, viewer: Supervisor, attempt_id: UUID) -> Response:
        """The audio, where it was kept; parts of it by Range."""
        kept = await run(care.recording, viewer, attempt_id)
        name = f"carecall-{attempt_id}.wav"
        sound = await sound_response(request, kept, settings.recordings_dir, name=name)
        await run(care.note_export_of_call, viewer, attempt_id, "recording", actor=str(viewer.user_id))
        return sound


def as_text(said: Transcript, words: Words, zone: ZoneInfo) -> str:
    """The transcript as people read it, a line a turn."""
    began = said.began_at.astimezone(zone).strftime("%Y-%m-%d %H:%M")
    lines = [f"{said.person.name} · {began} · {said.dialog}", ""]
    lines += [f"[{clock(turn.started_s)}] {words(f'exchange.{turn.speaker}')}: {turn.text}" for turn in said.turns]
    return "\n".join(lines) + "\n"


def as_json(said: Transcript) -> str:
    """The transcript as programs read it; times are seconds from the beginning of the call's audio."""
    return json.dumps(
        {
            "call": str(said.attempt_id),
            "recipient": {"id": str(said.person.id), "name": said.person.name},
            "dialog": said.dialog,
            "began_at": said.began_at.isoformat(),
            "turns": [
                {
                    "index": turn.index,
                    "speaker": turn.speaker.value,
                    "text": turn.text,
                    "started_s": turn.started_s,
                    "ended_s": turn.ended_s,
                    "asked": turn.asked,
                    "interrupted": turn.interrupted and turn.speaker is Speaker.AGENT,
                }
                for turn in said.turns
            ],
        },
        ensure_ascii=False,
        indent=2,
    )


def clock(seconds: float) -> str:
    """Minutes and seconds of the call."""
    return f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"


def _attached(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}
