"""The call: what was said, what was found out and from which words, and where a human corrected it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse
from markupsafe import Markup, escape

from carecall.dashboard.charts import latency
from carecall.dashboard.corrections import MOST_WORDS, WrongValue, limits, read_value
from carecall.dashboard.dashboard import Dashboard
from carecall.dashboard.findings import FindingWords, known_dialog
from carecall.dashboard.sound import sound_response
from carecall.dashboard.words import Words
from carecall.domain.finding import AnswerType, FindingValue, Missing, Unit
from carecall.domain.turn import Turn
from carecall.domain.viewer import Role, Viewer
from carecall.errors import PersonalDataChanged, StoreConflict
from carecall.store.care_call import ShownCall, ShownFinding
from carecall.store.sound_file import SoundFile


@dataclass(frozen=True, slots=True)
class Typed:
    """A correction that could not be taken, as it was typed."""

    value: str
    none: bool  # no usable answer was ticked, in place of a number or words
    reason: str
    trouble: str  # what to do about it


@dataclass(frozen=True, slots=True)
class Said:
    """A turn as it is shown: the words that something rests on are marked, and lead there."""

    turn: Turn
    text: Markup
    rests: tuple[str, ...]  # codes of the findings that rest on it
    alerts: bool  # an alert rests on it


@dataclass(frozen=True, slots=True)
class Reading:
    """How findings are named and asked for, and what the viewer may do."""

    named: FindingWords
    may_correct: bool
    has_audio: bool
    broke_off: bool  # the audio, because the program died, or was cut
    most_words: int = MOST_WORDS

    def kind(self, finding: ShownFinding) -> AnswerType:
        return self.named.kind(finding.original.code, finding.original.value)

    def unit(self, finding: ShownFinding) -> Unit | None:
        return self.named.unit(finding.original.code, finding.original.unit)

    def limits(self, finding: ShownFinding) -> tuple[float, float] | None:
        return limits(self.kind(finding), self.unit(finding))

    def value_of(self, finding: ShownFinding, typed: str, *, none: bool) -> FindingValue:
        """Raises WrongValue."""
        if none:
            return Missing.NO_ANSWER
        question = self.named.question(finding.original.code)
        return read_value(self.kind(finding), self.unit(finding), question, typed)


def add_call(router: APIRouter, dashboard: Dashboard) -> None:
    store, settings = dashboard.store, dashboard.settings
    seeing = dashboard.needs(Role.VIEWER)
    working = dashboard.needs(Role.CARE_WORKER)

    async def reading(viewer: Viewer, call: ShownCall) -> Reading:
        dialog = await asyncio.to_thread(known_dialog, settings.dialogs_dir, call.dialog_id, call.dialog_language)
        works = viewer.may(Role.CARE_WORKER)
        has_audio = broke_off = False
        if works and not call.live and call.recording is not None:
            has_audio, broke_off = await asyncio.to_thread(_audio, call.recording.within(settings.recordings_dir))
        return Reading(FindingWords(Words(viewer.language), dialog), works and call.reported, has_audio, broke_off)

    async def page(
        request: Request, viewer: Viewer, template: str, call: ShownCall, status: int = 200, **context: object
    ) -> Response:
        context = {"tried": None, "typed": None, **context}
        return dashboard.page(
            request,
            viewer,
            template,
            status=status,
            call=call,
            said=_said(call),
            latency=latency(call.turns),
            clock=_clock,
            reading=await reading(viewer, call),
            **context,
        )

    @router.get("/calls/{attempt_id}")
    async def call_page(request: Request, viewer: Annotated[Viewer, Depends(seeing)], attempt_id: UUID) -> Response:
        return await page(request, viewer, "call.html", await store.run(store.care.call, viewer, attempt_id))

    @router.get("/calls/{attempt_id}/live")
    async def call_as_it_goes_on(
        request: Request, viewer: Annotated[Viewer, Depends(seeing)], attempt_id: UUID
    ) -> Response:
        """The record alone, for a page that refreshes itself while the call goes on."""
        if request.headers.get("hx-request") != "true":
            return RedirectResponse(f"/calls/{attempt_id}", 303)
        call = await store.run(store.care.call, viewer, attempt_id, again=True)
        return await page(request, viewer, "call_record.html", call)

    @router.get("/calls/{attempt_id}/audio")
    async def audio(request: Request, viewer: Annotated[Viewer, Depends(working)], attempt_id: UUID) -> Response:
        """The recording; a browser asks for the ranges that it plays."""
        kept = await store.run(store.care.recording, viewer, attempt_id)
        return await sound_response(request, kept, settings.recordings_dir)

    @router.post("/calls/{attempt_id}/findings/{code}/corrections")
    async def correct(
        request: Request,
        viewer: Annotated[Viewer, Depends(working)],
        attempt_id: UUID,
        code: str,
        value: Annotated[str, Form()] = "",
        none: Annotated[bool, Form()] = False,
        reason: Annotated[str, Form()] = "",
        seen: Annotated[str, Form()] = "",
    ) -> Response:
        call = await store.run(store.care.call, viewer, attempt_id, again=True)
        words, status, trouble = Words(viewer.language), 200, ""
        try:
            chosen = (await reading(viewer, call)).value_of(call.finding(code), value, none=none)
            if not reason.strip() or len(reason) > MOST_WORDS:
                raise WrongValue("call.wrong_reason", most=MOST_WORDS)
            await store.run(store.care.correct, viewer, attempt_id, code, chosen, reason.strip(), seen=seen)
        except WrongValue as wrong:
            status, trouble = 422, words(wrong.key, **wrong.values)
        except StoreConflict:
            status, trouble = 409, words("call.conflict")
        in_part = request.headers.get("hx-request") == "true"
        if not trouble and not in_part:
            return RedirectResponse(f"/calls/{attempt_id}#finding-{code}", 303)
        call = await store.run(store.care.call, viewer, attempt_id, again=True)
        typed = Typed(value, none, reason, trouble) if trouble else None
        template = "call_finding.html" if in_part else "call.html"
        return await page(request, viewer, template, call, status, finding=call.finding(code), tried=code, typed=typed)


def _audio(sound: SoundFile) -> tuple[bool, bool]:
    """Whether it is there to be heard, and whether it broke off."""
    try:
        return True, sound.broke_off()
    except (FileNotFoundError, PersonalDataChanged):
        return False, False


def _clock(seconds: float) -> str:
    """A moment of the call as minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _said(call: ShownCall) -> list[Said]:
    quotes: dict[int, list[str]] = {}
    rests: dict[int, list[str]] = {}
    alarming: set[int] = set()
    for finding in call.findings:
        for evidence in finding.original.evidence:
            quotes.setdefault(evidence.turn, []).append(evidence.quote)
            rests.setdefault(evidence.turn, []).append(finding.original.code)
    for alert in call.alerts:
        for evidence in alert.evidence:
            quotes.setdefault(evidence.turn, []).append(evidence.quote)
            alarming.add(evidence.turn)
    return [
        Said(
            turn,
            marked(turn.text, quotes.get(turn.index, ())),
            tuple(dict.fromkeys(rests.get(turn.index, ()))),
            turn.index in alarming,
        )
        for turn in call.turns
    ]


def marked(text: str, quotes: Sequence[str]) -> Markup:
    """The text with the quoted words marked. Quotes that overlap become one; those that are not in it are left out."""
    spans: list[tuple[int, int]] = []
    found = ((text.find(quote), len(quote)) for quote in quotes if quote)
    for start, end in sorted((start, start + length) for start, length in found if start >= 0):
        if spans and start <= spans[-1][1]:
            start, end = spans[-1][0], max(end, spans.pop()[1])
        spans.append((start, end))
    parts, at = [Markup("")], 0
    for start, end in spans:
        parts += [escape(text[at:start]), Markup("<mark>{}</mark>").format(text[start:end])]
        at = end
    return Markup("").join([*parts, escape(text[at:])])
