"""What somebody sees and changes about themselves."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from carecall.dashboard.dashboard import Dashboard
from carecall.dashboard.passwords import Passwords
from carecall.dashboard.sessions import Sessions
from carecall.domain.viewer import Viewer


def add_account(router: APIRouter, dashboard: Dashboard, sessions: Sessions, passwords: Passwords) -> None:
    store, users = dashboard.store, dashboard.store.users

    @router.get("/account")
    async def account(request: Request, viewer: Annotated[Viewer, Depends(dashboard.needs())]) -> Response:
        return dashboard.page(request, viewer, "account.html", me=await store.run(users.me, viewer))
