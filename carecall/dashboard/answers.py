"""What is answered when there is no page to show: not signed in, not allowed, not there, broken."""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException

from carecall.dashboard.dashboard import Dashboard, NotSignedIn
from carecall.dashboard.languages import language_of
from carecall.dashboard.security import page_headers
from carecall.dashboard.sessions import PageOfAnother, PasswordToChange
from carecall.domain.viewer import Viewer
from carecall.errors import PersonalDataChanged, StoreConflict, StoreNotFound, StoreUnavailable

logger = logging.getLogger(__name__)

INSTEAD = "/?instead"  # where somebody goes on who stands before the page of somebody else
_PROGRAMS = ("/telephony/", "/health/", "/api/")  # programs ask there, and are answered in JSON


def add_answers(app: FastAPI, dashboard: Dashboard) -> None:
    """Every answer is in the viewer's language, and leads on."""

    def trouble(request: Request, status: int, kind: str = "") -> Response:
        """The page of a status, or of a ``kind`` of trouble that has texts of its own."""
        if request.url.path.startswith(_PROGRAMS):
            return JSONResponse({"detail": HTTPStatus(status).phrase}, status)
        viewer: Viewer | None = getattr(request.state, "viewer", None)
        known = status if status in (400, 403, 404, 409, 413, 422, 429, 503) else 500
        text = dashboard.render(
            viewer.language if viewer else language_of(request),
            "trouble.html",
            viewer=viewer,
            request=request,
            kind=kind or known,
            fragment=in_part(request),
        )
        return HTMLResponse(text, status)

    async def refused(request: Request, error: HTTPException) -> Response:
        if request.url.path.startswith(_PROGRAMS):
            return await http_exception_handler(request, error)
        response = trouble(request, error.status_code)
        response.headers.update(error.headers or {})
        return response

    async def unreadable(request: Request, error: RequestValidationError) -> Response:
        if request.url.path.startswith(_PROGRAMS):
            return await request_validation_exception_handler(request, error)
        in_path = all(each["loc"][0] == "path" for each in error.errors())
        return trouble(request, HTTPStatus.NOT_FOUND if in_path else HTTPStatus.UNPROCESSABLE_ENTITY)

    async def not_signed_in(request: Request, error: NotSignedIn) -> Response:
        if request.url.path.startswith(_PROGRAMS):
            return JSONResponse({"detail": "Sign in, or send an API token."}, HTTPStatus.UNAUTHORIZED)
        if request.method in ("GET", "HEAD") and not in_part(request):
            wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/sign-in?next={quote(wanted, safe='')}", HTTPStatus.SEE_OTHER)
        if isinstance(error, PageOfAnother) and not in_part(request):
            return RedirectResponse(INSTEAD, HTTPStatus.SEE_OTHER)
        # What was filled in stays: in the page under the dialog, or in the browser, which sends it again on reload.
        text = dashboard.render(language_of(request), "signed_out.html", request=request, fragment=in_part(request))
        return HTMLResponse(text, HTTPStatus.UNAUTHORIZED)

    async def password_to_change(request: Request, _: PasswordToChange) -> Response:
        if request.url.path.startswith(_PROGRAMS) or in_part(request):
            return trouble(request, HTTPStatus.FORBIDDEN)
        return RedirectResponse("/account/password", HTTPStatus.SEE_OTHER)

    async def came_second(request: Request, _: StoreConflict) -> Response:
        return trouble(request, HTTPStatus.CONFLICT)

    async def not_found(request: Request, _: StoreNotFound) -> Response:
        return trouble(request, HTTPStatus.NOT_FOUND)

    async def no_database(request: Request, error: StoreUnavailable) -> Response:
        logger.error("a page cannot be shown: %s", error)
        return trouble(request, HTTPStatus.SERVICE_UNAVAILABLE)

    async def altered(request: Request, error: PersonalDataChanged) -> Response:
        logger.error("a record is not shown: %s", error)
        return trouble(request, HTTPStatus.INTERNAL_SERVER_ERROR, "altered")

    async def broken(request: Request, _: Exception) -> Response:
        response = trouble(request, HTTPStatus.INTERNAL_SERVER_ERROR)
        response.headers.update(page_headers(dashboard.settings))  # it is sent from outside of the guard
        return response

    answers: dict[type[Exception], Callable[..., Awaitable[Response]]] = {
        HTTPException: refused,
        RequestValidationError: unreadable,
        NotSignedIn: not_signed_in,
        PasswordToChange: password_to_change,
        StoreNotFound: not_found,
        StoreConflict: came_second,
        StoreUnavailable: no_database,
        PersonalDataChanged: altered,
        Exception: broken,
    }
    for error, answer in answers.items():
        app.add_exception_handler(error, answer)


def in_part(request: Request) -> bool:
    """Whether htmx asks for a part of a page."""
    return request.headers.get("hx-request") == "true" and request.headers.get("hx-boosted") != "true"
