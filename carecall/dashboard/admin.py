"""The administrator's pages: users, audit trail, retention, health."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from carecall.dashboard.dashboard import Dashboard
from carecall.dashboard.passwords import Passwords
from carecall.domain.viewer import Role, Viewer


def add_admin(router: APIRouter, dashboard: Dashboard, passwords: Passwords) -> None:
    store, users = dashboard.store, dashboard.store.users
    Admin = Annotated[Viewer, Depends(dashboard.needs(Role.ADMIN))]  # noqa: N806

    @router.get("/admin")
    async def admin(request: Request, viewer: Admin) -> Response:
        return dashboard.page(request, viewer, "admin.html", users=await store.run(users.all, viewer))
