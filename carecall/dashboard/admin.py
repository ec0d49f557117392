"""The administrator's pages: users, the order in which alerts go on, the audit trail, how the program fares."""

import asyncio
import csv
import io
import json
import re
import shutil
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from carecall import __version__, model_files
from carecall.dashboard.dashboard import Dashboard
from carecall.dashboard.passwords import Passwords, first_password
from carecall.dashboard.words import catalog
from carecall.domain.language import Language
from carecall.domain.viewer import Role, Viewer
from carecall.errors import StoreConflict, StoreError
from carecall.settings import Settings
from carecall.store.care_admin import AuditEntry, AuditFilter
from carecall.store.chain import Checked
from carecall.store.users import LastAdmin, User

_ADDRESS = re.compile(r"[^@\s,<>]+@[^@\s,<>]+")
_DONE = ("role", "activated", "deactivated", "escalation")
_EXPORTED = 1_000  # entries that are read at once
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Health:
    """What of the program is not in the database."""

    version: str
    models: tuple[tuple[str, bool], ...]  # name, whether it is whole on this machine
    disk_free_gib: float
    disk_low: bool


def add_admin(
    router: APIRouter,
    dashboard: Dashboard,
    passwords: Passwords,
    *,
    calls_held: Callable[[], int] | None = None,
    phrases_missing: Callable[[], int | None] | None = None,
) -> None:
    _add_users(router, dashboard, passwords)
    _add_escalation(router, dashboard)
    _add_audit(router, dashboard)
    store, care, settings = dashboard.store, dashboard.store.care, dashboard.settings
    Admin = Annotated[Viewer, Depends(dashboard.needs(Role.ADMIN))]  # noqa: N806

    @router.get("/admin/retention")
    async def retention(request: Request, viewer: Admin) -> Response:
        kept = (
            ("recordings", settings.retain_recordings_days),
            ("transcripts", settings.retain_transcripts_days),
            ("reports", settings.retain_reports_days),
            ("audit", settings.retain_audit_days),
        )
        return dashboard.page(request, viewer, "admin_retention.html", kept=kept)

    @router.get("/admin/health")
    async def health(request: Request, viewer: Admin) -> Response:
        return dashboard.page(
            request,
            viewer,
            "admin_health.html",
            fare=await store.run(care.fare, viewer),
            health=await asyncio.to_thread(_health, settings),
            calls=calls_held() if calls_held is not None else None,
            places=settings.max_calls,
            phrases=phrases_missing() if phrases_missing is not None else None,
        )


def _add_users(router: APIRouter, dashboard: Dashboard, passwords: Passwords) -> None:
    store, users = dashboard.store, dashboard.store.users
    Admin = Annotated[Viewer, Depends(dashboard.needs(Role.ADMIN))]  # noqa: N806

    async def users_page(
        request: Request, viewer: Viewer, *, status: int = HTTPStatus.OK, trouble: str = "", **given: object
    ) -> Response:
        return dashboard.page(
            request,
            viewer,
            "admin_users.html",
            status=status,
            users=await store.run(users.all, viewer),
            roles=list(Role),
            trouble=trouble,
            given={"email": "", "name": "", "role": Role.CARE_WORKER, "language": viewer.language, **given},
        )

    async def user_page(
        request: Request,
        viewer: Viewer,
        user_id: uuid.UUID,
        *,
        status: int = HTTPStatus.OK,
        trouble: str = "",
        password: str = "",
    ) -> Response:
        done = request.query_params.get("done", "")
        return dashboard.page(
            request,
            viewer,
            "admin_user.html",
            status=status,
            user=await store.run(users.get, viewer, user_id),
            roles=list(Role),
            trouble=trouble,
            done=done if done in _DONE and not trouble else "",
            password=password,
        )

    async def changed(
        request: Request, viewer: Viewer, user_id: uuid.UUID, done: str, change: Callable[[], None]
    ) -> Response:
        try:
            await store.run(change)
        except StoreConflict:
            return await user_page(request, viewer, user_id, status=HTTPStatus.CONFLICT, trouble="conflict")
        except LastAdmin:
            return await user_page(request, viewer, user_id, status=HTTPStatus.CONFLICT, trouble="last_admin")
        return RedirectResponse(f"/admin/users/{user_id}?done={done}", HTTPStatus.SEE_OTHER)

    @router.get("/admin")
    async def admin(request: Request, viewer: Admin) -> Response:
        return await users_page(request, viewer)

    @router.post("/admin/users")
    async def add_user(
        request: Request,
        viewer: Admin,
        email: Annotated[str, Form(max_length=254)],
        role: Annotated[Role, Form()],
        language: Annotated[Language, Form()],
        name: Annotated[str, Form(max_length=100)] = "",
    ) -> Response:
        given = {"email": email, "name": name, "role": role, "language": language}
        if not _ADDRESS.fullmatch(email.strip()):
            return await users_page(request, viewer, status=422, trouble="address", **given)
        password = first_password()
        hashed = await passwords.hash(password)
        try:
            user_id = await store.run(
                users.add,
                email,
                role,
                hashed,
                name=name,
                language=language,
                time_zone=viewer.time_zone,
                organisation_id=viewer.organisation_id,
                change_password=True,
                actor=str(viewer.user_id),
            )
        except StoreError:
            return await users_page(request, viewer, status=HTTPStatus.CONFLICT, trouble="taken", **given)
        return await user_page(request, viewer, user_id, password=password)

    @router.get("/admin/users/{user_id}")
    async def user(request: Request, viewer: Admin, user_id: uuid.UUID) -> Response:
        return await user_page(request, viewer, user_id)

    @router.post("/admin/users/{user_id}/role")
    async def set_role(
        request: Request,
        viewer: Admin,
        user_id: uuid.UUID,
        role: Annotated[Role, Form()],
        seen: Annotated[Role, Form()],
    ) -> Response:
        return await changed(request, viewer, user_id, "role", lambda: users.set_role(viewer, user_id, seen, role))

    @router.post("/admin/users/{user_id}/active")
    async def set_active(
        request: Request, viewer: Admin, user_id: uuid.UUID, active: Annotated[bool, Form()]
    ) -> Response:
        done = "activated" if active else "deactivated"
        return await changed(request, viewer, user_id, done, lambda: users.set_active(viewer, user_id, active))

    @router.post("/admin/users/{user_id}/reset")
    async def reset(request: Request, viewer: Admin, user_id: uuid.UUID) -> Response:
        password = first_password()
        await store.run(users.reset, viewer, user_id, await passwords.hash(password))
        return await user_page(request, viewer, user_id, password=password)


def _add_escalation(router: APIRouter, dashboard: Dashboard) -> None:
    store, users = dashboard.store, dashboard.store.users
    Admin = Annotated[Viewer, Depends(dashboard.needs(Role.ADMIN))]  # noqa: N806

    async def escalation_page(
        request: Request, viewer: Viewer, *, done: bool = False, refused: bool = False
    ) -> Response:
        people = [user for user in await store.run(users.all, viewer) if _acts(user)]
        people.sort(key=lambda user: (user.escalation is None, user.escalation or 0))
        status = HTTPStatus.CONFLICT if refused else HTTPStatus.OK
        context = {"people": people, "done": done, "refused": refused}
        return dashboard.page(request, viewer, "admin_escalation.html", status=status, **context)

    @router.get("/admin/escalation")
    async def escalation(request: Request, viewer: Admin, done: str = "") -> Response:
        return await escalation_page(request, viewer, done=done == "escalation")

    @router.post("/admin/escalation")
    async def set_escalation(request: Request, viewer: Admin) -> Response:
        places: list[tuple[int, uuid.UUID]] = []
        for key, place in (await request.form()).items():
            if isinstance(place, str) and place.isdecimal() and len(place) < 5:
                places.append((int(place), _id(key)))
        order = [user_id for _, user_id in sorted(places)]
        if any(user.id in order and not _acts(user) for user in await store.run(users.all, viewer)):
            return await escalation_page(request, viewer, refused=True)
        await store.run(users.set_escalation, viewer, order)
        return RedirectResponse("/admin/escalation?done=escalation", HTTPStatus.SEE_OTHER)


def _acts(user: User) -> bool:
    """Whether they can do something about an alert."""
    return user.active and user.role.rank >= Role.CARE_WORKER.rank


def _add_audit(router: APIRouter, dashboard: Dashboard) -> None:
    store, users, care = dashboard.store, dashboard.store.users, dashboard.store.care
    Admin = Annotated[Viewer, Depends(dashboard.needs(Role.ADMIN))]  # noqa: N806

    def wanted(
        viewer: Admin, who: str = "", action: str = "", subject: str = "", since: str = "", until: str = ""
    ) -> AuditFilter:
        last = _day(until)
        return AuditFilter(
            who.strip(),
            action.strip(),
            subject.strip(),
            _midnight(_day(since), viewer),
            _midnight(last + timedelta(days=1) if last else None, viewer),
        )

    Wanted = Annotated[AuditFilter, Depends(wanted)]  # noqa: N806

    async def audit_page(
        request: Request,
        viewer: Viewer,
        filter_: AuditFilter,
        before: int | None = None,
        checked: Checked | None = None,
    ) -> Response:
        asked = {name: request.query_params.get(name, "") for name in ("who", "action", "subject", "since", "until")}
        return dashboard.page(
            request,
            viewer,
            "admin_audit.html",
            page=await store.run(care.audit_trail, viewer, filter_, before=before),
            people=await store.run(users.all, viewer),
            actions=_named(viewer.language, "audit."),
            details=_named(viewer.language, "audit_detail."),
            asked=asked,
            query=urlencode({name: value for name, value in asked.items() if value}),
            first=before is None,
            checked=checked,
        )

    @router.get("/admin/audit")
    async def audit(request: Request, viewer: Admin, filter_: Wanted, before: int | None = None) -> Response:
        return await audit_page(request, viewer, filter_, before)

    @router.post("/admin/audit/check")
    async def check_audit(request: Request, viewer: Admin) -> Response:
        """Beside the store's own thread: it reads every row."""
        checked = await asyncio.to_thread(store.audit.check)
        return await audit_page(request, viewer, AuditFilter(), checked=checked)

    @router.get("/admin/audit.csv")
    async def audit_csv(viewer: Admin, filter_: Wanted) -> Response:
        async def lines() -> AsyncIterator[str]:
            yield "\ufeff" + _csv([("id", "at", "actor", "actor_name", "action", "subject", "details")])
            before, entries = None, 0
            while True:
                page = await store.run(care.audit_trail, viewer, filter_, before=before, size=_EXPORTED)
                yield _csv([_line(entry) for entry in page.entries])
                before, entries = page.older, entries + len(page.entries)
                if before is None:
                    break
            await store.run(care.audit_exported, viewer, entries)

        name = f'attachment; filename="audit-{date.today().isoformat()}.csv"'
        return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers={"Content-Disposition": name})


def _named(language: Language, prefix: str) -> dict[str, str]:
    """What the codes behind a prefix of the catalog are called, in the order of their words."""
    words = {key.removeprefix(prefix): text for key, text in catalog(language).items() if key.startswith(prefix)}
    return dict(sorted(words.items(), key=lambda item: item[1]))


def _line(entry: AuditEntry) -> tuple[str, ...]:
    details = json.dumps(dict(entry.details), ensure_ascii=False)
    # A name that a spreadsheet would take for a formula is shown as text.
    name = f"'{entry.actor_name}" if entry.actor_name[:1] in ("=", "+", "-", "@", "\t") else entry.actor_name
    return str(entry.id), entry.at.isoformat(), entry.actor, name, entry.action, entry.subject, details


def _csv(rows: list[tuple[str, ...]]) -> str:
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    return file.getvalue()


def _day(text: str) -> date | None:
    """The day that was chosen; None for what is none."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _midnight(day: date | None, viewer: Viewer) -> datetime | None:
    return datetime.combine(day, time(), ZoneInfo(viewer.time_zone)) if day else None


def _id(text: str) -> uuid.UUID:
    """An id of no record for what is none."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return uuid.UUID(int=0)


def _health(settings: Settings) -> Health:
    models = model_files.store(settings.models_dir)
    folder = next(folder for folder in (settings.data_dir, *settings.data_dir.absolute().parents) if folder.exists())
    free = shutil.disk_usage(folder).free / _GIB
    return Health(
        __version__,
        tuple((name, models.locate(name) is not None) for name in model_files.needed(settings)),
        free,
        free < 2,
    )
