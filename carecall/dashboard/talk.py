"""A test call from the browser: dialog and name are chosen, and the microphone is the telephone.

The page speaks WebRTC itself, in one plain script: pipecat's own client is a package for bundlers, and what is needed
of it here is one offer and its answer.
"""

import json
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, StringConstraints

from carecall.dashboard.dashboard import Dashboard
from carecall.dashboard.words import Words
from carecall.dialog.files import dialog_names
from carecall.domain.viewer import Role, Viewer

# The viewer, the dialog's name, the name of who is talked to, and the browser's SDP; gives the attempt and our SDP.
Talk = Callable[[Viewer, str, str, str], Awaitable[tuple[UUID, str]]]  # raises TalkRefused


class TalkTrouble(StrEnum):
    TALKING = "talking"  # the user is in a test call already
    FULL = "full"  # no place for one more call
    DIALOG = "dialog"  # there is none of that name
    OFFER = "offer"  # the browser's offer cannot be answered
    NOT_INSTALLED = "not_installed"


_STATUS = {
    TalkTrouble.TALKING: 409,
    TalkTrouble.FULL: 503,
    TalkTrouble.DIALOG: 422,
    TalkTrouble.OFFER: 422,
    TalkTrouble.NOT_INSTALLED: 503,
}


class TalkRefused(Exception):
    """A test call cannot be held."""

    def __init__(self, trouble: TalkTrouble) -> None:
        super().__init__(trouble.value)
        self.trouble = trouble


class Offer(BaseModel):
    """What the page sends."""

    model_config = ConfigDict(extra="forbid")

    dialog: Annotated[str, StringConstraints(max_length=100)]
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
    sdp: Annotated[str, StringConstraints(max_length=65_536)]


def add_talk(router: APIRouter, dashboard: Dashboard, talk: Talk | None) -> None:
    """``talk`` holds the call; None where that is not installed."""
    needs = dashboard.needs(Role.CARE_WORKER)

    @router.get("/talk")
    def page(request: Request, viewer: Annotated[Viewer, Depends(needs)]) -> Response:
        names = dialog_names(dashboard.settings.dialogs_dir)
        own_first = sorted(names, key=lambda name: (not name.endswith(f".{viewer.language}"), name))
        ice_servers = json.dumps(dashboard.settings.ice_servers)
        return dashboard.page(
            request, viewer, "talk.html", dialogs=own_first, possible=talk is not None, ice_servers=ice_servers
        )

    @router.post("/talk/offer")
    async def offer(viewer: Annotated[Viewer, Depends(needs)], offered: Offer) -> Response:
        try:
            if talk is None:
                raise TalkRefused(TalkTrouble.NOT_INSTALLED)
            attempt_id, answer = await talk(viewer, offered.dialog, offered.name, offered.sdp)
        except TalkRefused as refused:
            trouble = Words(viewer.language)(f"talk.trouble.{refused.trouble.value}")
            return JSONResponse({"trouble": trouble}, _STATUS[refused.trouble])
        return JSONResponse({"call": str(attempt_id), "sdp": answer})
