"""The administrator's page of API tokens: made, shown once, revoked."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from carecall.dashboard.dashboard import Dashboard
from carecall.domain.viewer import Role, Viewer


def add_api_tokens(router: APIRouter, dashboard: Dashboard) -> None:
    care, run = dashboard.store.care, dashboard.store.run
    Admin = Annotated[Viewer, Depends(dashboard.needs(Role.ADMIN))]  # noqa: N806

    async def page(request: Request, viewer: Viewer, made: str = "", wrong: bool = False) -> Response:
        tokens = await run(care.api_tokens, viewer)
        status = 422 if wrong else 200
        return dashboard.page(request, viewer, "api_tokens.html", status=status, tokens=tokens, made=made, wrong=wrong)

    @router.get("/admin/api-tokens")
    async def tokens(request: Request, viewer: Admin) -> Response:
        return await page(request, viewer)

    @router.post("/admin/api-tokens")
    async def add(request: Request, viewer: Admin, name: Annotated[str, Form(max_length=100)] = "") -> Response:
        """Answers with the page itself, not a redirect: the token is shown here and never again."""
        if not name.strip():
            return await page(request, viewer, wrong=True)
        made = await run(care.add_api_token, viewer, name.strip(), actor=str(viewer.user_id))
        return await page(request, viewer, made=made)

    @router.post("/admin/api-tokens/{token_id}/revoke")
    async def revoke(viewer: Admin, token_id: UUID) -> Response:
        await run(care.revoke_api_token, viewer, token_id, actor=str(viewer.user_id))
        return RedirectResponse("/admin/api-tokens", 303)
