"""What somebody sees and changes about themselves: details, password, second factor, where they are signed in."""

import time
from http import HTTPStatus
from typing import Annotated
from zoneinfo import available_timezones

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from carecall.dashboard.dashboard import Dashboard
from carecall.dashboard.passwords import LONGEST, Passwords, wrong_with
from carecall.dashboard.second_factor import in_groups, picture, step_of
from carecall.dashboard.sessions import Sessions
from carecall.domain.language import Language
from carecall.domain.viewer import Viewer

_LONGEST_NAME = 100
_DONE = ("details", "password", "second_factor_on", "second_factor_off", "signed_out")

Secret = Annotated[str, Form(max_length=10 * LONGEST)]


def add_account(router: APIRouter, dashboard: Dashboard, sessions: Sessions, passwords: Passwords) -> None:
    store, users = dashboard.store, dashboard.store.users
    Me = Annotated[Viewer, Depends(dashboard.needs())]  # noqa: N806
    Owner = Annotated[Viewer, Depends(sessions.owner)]  # noqa: N806 - who may still owe a password

    async def is_their_password(viewer: Viewer, password: str) -> bool:
        """Asked again before what an open session alone may not do; wrong ones count as at the door."""
        account = await store.run(users.my_account, viewer)
        good = await passwords.good(account.password_hash if account else None, password)
        if account is None or account.paused:
            return False
        if not good:
            await store.run(users.wrong_try, viewer.user_id)
        return good

    async def page(request: Request, viewer: Viewer, status: int = HTTPStatus.OK, trouble: str = "") -> Response:
        done = request.query_params.get("done", "")
        return dashboard.page(
            request,
            viewer,
            "account.html",
            status=status,
            me=await store.run(users.me, viewer),
            sessions=await store.run(users.sessions, viewer),
            zones=sorted(available_timezones()),
            trouble=trouble,
            done=done if done in _DONE and not trouble else "",
        )

    @router.get("/account")
    async def account(request: Request, viewer: Me) -> Response:
        return await page(request, viewer)

    @router.post("/account")
    async def change_details(
        request: Request,
        viewer: Me,
        language: Annotated[Language, Form()],
        time_zone: Annotated[str, Form()],
        name: Annotated[str, Form(max_length=_LONGEST_NAME)] = "",
    ) -> Response:
        if time_zone not in available_timezones():
            return await page(request, viewer, HTTPStatus.UNPROCESSABLE_ENTITY, "time_zone")
        await store.run(users.change_me, viewer, name=name.strip(), language=language, time_zone=time_zone)
        response = _done("details")
        sessions.remember_language(response, language)
        return response

    @router.post("/account/sign-out-everywhere")
    async def sign_out_everywhere(request: Request, viewer: Me) -> Response:
        await store.run(users.sign_out_everywhere, viewer, besides=sessions.digest(request))
        return _done("signed_out")

    @router.get("/account/password")
    async def password_page(request: Request, viewer: Owner) -> Response:
        return dashboard.page(request, viewer, "account_password.html", trouble="")

    @router.post("/account/password")
    async def change_password(
        request: Request, viewer: Owner, current: Secret = "", new: Secret = "", again: Secret = ""
    ) -> Response:
        me = await store.run(users.me, viewer)
        trouble = wrong_with(new, me.email) or ("differ" if new != again else "same" if new == current else None)
        if trouble is None and not await is_their_password(viewer, current):
            trouble = "wrong_current"
        if trouble is not None:
            return dashboard.page(request, viewer, "account_password.html", status=422, trouble=trouble)
        await store.run(users.set_password, viewer, await passwords.hash(new))
        response = _done("password")
        sessions.give(response, await store.run(users.begin_session, viewer.user_id, verified=True))
        return response

    @router.get("/account/second-factor")
    async def second_factor(request: Request, viewer: Me) -> Response:
        return second_factor_page(request, viewer)

    def second_factor_page(
        request: Request, viewer: Viewer, status: int = HTTPStatus.OK, trouble: str = ""
    ) -> Response:
        secret = users.offered_secret(viewer, sessions.digest(request))
        return dashboard.page(
            request, viewer, "account_second_factor.html", status=status, secret=in_groups(secret), trouble=trouble
        )

    @router.get("/account/second-factor/picture.svg")
    async def second_factor_picture(request: Request, viewer: Me) -> Response:
        me = await store.run(users.me, viewer)
        secret = users.offered_secret(viewer, sessions.digest(request))
        return Response(picture(secret, me.email), media_type="image/svg+xml")

    @router.post("/account/second-factor")
    async def turn_on(
        request: Request, viewer: Me, code: Annotated[str, Form(max_length=20)] = "", password: Secret = ""
    ) -> Response:
        secret = users.offered_secret(viewer, sessions.digest(request))
        step = step_of(secret, code, time.time())
        if step is None:
            return second_factor_page(request, viewer, HTTPStatus.UNPROCESSABLE_ENTITY, "code")
        if not await is_their_password(viewer, password):
            return second_factor_page(request, viewer, HTTPStatus.UNPROCESSABLE_ENTITY, "password")
        await store.run(users.set_second_factor, viewer, secret, step)
        return _done("second_factor_on")

    @router.post("/account/second-factor/off")
    async def turn_off(request: Request, viewer: Me, password: Secret = "") -> Response:
        if not await is_their_password(viewer, password):
            return await page(request, viewer, HTTPStatus.UNPROCESSABLE_ENTITY, "password")
        await store.run(users.set_second_factor, viewer, None)
        return _done("second_factor_off")


def _done(what: str) -> Response:
    return RedirectResponse(f"/account?done={what}", HTTPStatus.SEE_OTHER)
