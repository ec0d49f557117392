"""Signing in and out: the password, then the code where there is a second factor."""

import time
from collections import OrderedDict
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from carecall.dashboard.answers import INSTEAD, in_part
from carecall.dashboard.dashboard import Dashboard, NotSignedIn
from carecall.dashboard.languages import language_of
from carecall.dashboard.passwords import LONGEST, Passwords, is_outdated
from carecall.dashboard.second_factor import step_of
from carecall.dashboard.sessions import Sessions, is_page_of_another
from carecall.store.users import session_digest

_WRONG_TRIES = 30  # of one address of the network …
_WITHIN_S = 600.0  # … within so long; an office may share one
_ADDRESSES = 10_000  # that are kept in mind


class Tries:
    """Wrong sign-ins by address of the network, in this process."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()

    def too_many(self, address: str, now: float) -> bool:
        recent = [at for at in self._wrong.get(address, ()) if now - at < _WITHIN_S]
        return len(recent) >= _WRONG_TRIES

    def wrong(self, address: str, now: float) -> None:
        recent = [at for at in self._wrong.pop(address, ()) if now - at < _WITHIN_S]
        self._wrong[address] = [*recent, now][-_WRONG_TRIES:]
        while len(self._wrong) > _ADDRESSES:
            self._wrong.popitem(last=False)


def add_sign_in(router: APIRouter, dashboard: Dashboard, sessions: Sessions, passwords: Passwords) -> None:
    store, users, tries = dashboard.store, dashboard.store.users, Tries()

    def form(
        request: Request,
        step: str,
        *,
        status: int = HTTPStatus.OK,
        next_: str = "/",
        trouble: str = "",
        email: str = "",
    ) -> Response:
        text = dashboard.render(
            language_of(request),
            "sign_in.html",
            request=request,
            fragment=in_part(request),
            step=step,
            next=next_,
            trouble=trouble,
            email=email,
        )
        return HTMLResponse(text, status)

    async def done(request: Request, token: str, next_: str) -> Response:
        """On to the page; in the dialog over a page, which stays, nothing more, unless it is the page of another."""
        response: Response
        if in_part(request):
            response = Response(status_code=HTTPStatus.NO_CONTENT)
        else:
            response = RedirectResponse(next_, HTTPStatus.SEE_OTHER)
        sessions.give(response, token)
        signed_in = await store.run(users.signed_in, session_digest(token))
        if signed_in is not None:
            sessions.remember_language(response, signed_in.viewer.language)
            if is_page_of_another(request, signed_in.viewer):
                response.headers["HX-Redirect"] = INSTEAD
        return response

    @router.get("/sign-in")
    async def sign_in_page(request: Request, next: str = "/") -> Response:  # noqa: A002
        try:
            await sessions.owner(request)
        except NotSignedIn:
            return form(request, "password", next_=local(next))
        return RedirectResponse(local(next), HTTPStatus.SEE_OTHER)

    @router.post("/sign-in")
    async def sign_in(
        request: Request,
        email: Annotated[str, Form(max_length=254)] = "",
        password: Annotated[str, Form(max_length=10 * LONGEST)] = "",
        next: Annotated[str, Form()] = "/",  # noqa: A002
    ) -> Response:
        address, now, onward = _address(request), time.monotonic(), local(next)
        if tries.too_many(address, now):
            return form(request, "password", status=429, next_=onward, trouble="too_many", email=email)
        account = await store.run(users.account, email)
        good = await passwords.good(account.password_hash if account else None, password)
        if account is None or account.paused or not good:
            tries.wrong(address, now)
            if account is not None and not account.paused:
                await store.run(users.wrong_try, account.user_id)
            return form(request, "password", status=401, next_=onward, trouble="wrong", email=email)
        new_hash = await passwords.hash(password) if is_outdated(account.password_hash) else None
        token = await store.run(
            users.begin_session,
            account.user_id,
            verified=account.totp_secret is None,
            instead_of=sessions.digest(request),
            new_hash=new_hash,
        )
        if account.totp_secret is None:
            return await done(request, token, onward)
        response = form(request, "code", next_=onward)
        sessions.give(response, token)
        return response

    @router.post("/sign-in/code")
    async def sign_in_code(
        request: Request,
        code: Annotated[str, Form(max_length=20)] = "",
        next: Annotated[str, Form()] = "/",  # noqa: A002
    ) -> Response:
        address, now, onward = _address(request), time.monotonic(), local(next)
        account = await store.run(users.half_signed_in, sessions.digest(request))
        if account is None or account.totp_secret is None or account.paused:
            return form(request, "password", status=401, next_=onward, trouble="late")
        if tries.too_many(address, now):
            return form(request, "code", status=429, next_=onward, trouble="too_many")
        step = step_of(account.totp_secret, code, time.time())
        if step is None or not await store.run(users.use_code, account.user_id, step):
            tries.wrong(address, now)
            await store.run(users.wrong_try, account.user_id)
            return form(request, "code", status=401, next_=onward, trouble="wrong_code")
        token = await store.run(
            users.begin_session, account.user_id, verified=True, instead_of=sessions.digest(request)
        )
        return await done(request, token, onward)

    @router.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        await store.run(users.end_session, sessions.digest(request))
        response = RedirectResponse("/sign-in", HTTPStatus.SEE_OTHER)
        sessions.take(response)
        response.headers["Clear-Site-Data"] = '"cache"'
        return response


def local(address: str) -> str:
    """A path of ours; the first page for anything that could lead elsewhere."""
    plain = address.isprintable() and "\\" not in address
    return address if plain and address.startswith("/") and not address.startswith("//") else "/"


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
