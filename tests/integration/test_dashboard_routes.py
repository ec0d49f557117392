"""Every route of the dashboard, found by walking the application: who may ask, and for what."""

import enum
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from dashboard_office import Office, People
from fastapi.routing import APIRoute
from pydantic import SecretStr
from starlette.routing import BaseRoute, Mount, Route

from carecall.app import create_app
from carecall.domain.viewer import Role
from carecall.settings import Settings
from carecall.store.facade import upgrade_database

OPEN = ("/sign-in", "/sign-in/code", "/sign-out", "/static/{digest}/{name}", "/health/live", "/health/ready")
OPEN_DESCRIPTIONS = ("/api/openapi.json", "/api/docs", "/api/fhir/metadata")  # of the interface, without any data
THEMSELVES = ("/account",)  # what everybody changes: their own account
SEARCHES = ("/people/search",)  # by POST, so that a name is in no address
WISHES = ("/people/pause", "/people/resume", "/people/{recipient_id}/opt-out")  # of people, told to a care worker
SAFE = {"GET", "HEAD"}
NOBODY = uuid.UUID(int=5)
BY_EMAIL = re.compile(r"[a-z_]+@there\.test")


@dataclass(frozen=True)
class Door:
    """One method of one route."""

    method: str
    path: str
    form: tuple[tuple[str, Any], ...] = ()
    query: tuple[tuple[str, Any], ...] = ()  # what must be in it

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def names(self) -> list[str]:
        """Of the things in the path."""
        return re.findall(r"\{([a-z_]+)(?::[a-z]+)?\}", self.path)


def doors(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[Door]:
    for route in routes:
        if (router := getattr(route, "original_router", None)) is not None:
            yield from doors(router.routes, prefix)
        elif isinstance(route, Mount):
            yield from doors(route.routes, prefix + route.path)
        elif isinstance(route, Route | APIRoute):
            form, query = asked(route, "body_params"), asked(route, "query_params")
            for method in sorted(route.methods or ()):
                if method != "HEAD":
                    yield Door(method, prefix + route.path, form, query)


def asked(route: BaseRoute, where: str) -> tuple[tuple[str, Any], ...]:
    """The fields of the form, or what must be in the query, with their kinds."""
    params = getattr(route.dependant, where) if isinstance(route, APIRoute) else []
    return tuple(
        (param.name, param.field_info.annotation)
        for param in params
        if where == "body_params" or param.field_info.is_required()
    )


def guarded(office: Office) -> list[Door]:
    return [door for door in doors(office.app.routes) if door.path not in (*OPEN, *OPEN_DESCRIPTIONS)]


def address(door: Door, people: People) -> str:
    """The path with the ids of these people's records: what is named in braces is told by the word before it.

    What is made only while somebody works on it, such as an import, is not there.
    """
    ids = {
        "alerts": people.alert,
        "tasks": people.task,
        "recipients": people.urgent,
        "people": people.urgent,
        "calls": people.urgent_call,
        "users": people.users[Role.CARE_WORKER].user_id,
        "memories": people.memory,
        "places": people.enrollment,
        "enrollments": people.enrollment,
        "campaigns": people.campaign,
        "api-tokens": people.token,
        "findings": "chest_pain",
        "Patient": people.urgent,
        "QuestionnaireResponse": people.urgent_call,
        "Observation": f"{people.urgent_call}.0",
        "Provenance": people.urgent_call,
    }
    filled = re.sub(r"\{form\}", "txt", door.path)
    return re.sub(
        r"([A-Za-z-]+)/\{[a-z_]+(?::[a-z]+)?\}", lambda found: f"{found[1]}/{ids.get(found[1], NOBODY)}", filled
    )


def filled(fields: Iterable[tuple[str, Any]], people: People) -> dict[str, str]:
    """A form, or a query, that could be sent."""
    known = {
        "to": str(people.users[Role.CARE_WORKER].user_id),
        "recipient": str(people.urgent),
        "back": "/",
        "seen": "",
        "value": "no",
        "due": (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M"),
        "topic": "health",
    }
    values = {}
    for name, kind in fields:
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            values[name] = str(next(iter(kind)).value)
        elif name in known:
            values[name] = known[name]
        elif kind is uuid.UUID:
            values[name] = str(uuid.uuid4())
        else:
            values[name] = "true" if kind is bool else "something"
    return values


async def knock(browser: httpx.AsyncClient, door: Door, people: People, *, at: str = "") -> httpx.Response:
    where = at or address(door, people)
    if door.method == "GET":
        return await browser.get(where, params=filled(door.query, people))
    return await browser.request(door.method, where, data=filled(door.form, people))


def test_the_whole_program_has_no_route_that_this_walk_does_not_know(tmp_path: Path, office: Office) -> None:
    url = f"sqlite:///{tmp_path}/program.sqlite3"
    upgrade_database(url)
    program = create_app(Settings(database_url=url, data_dir=tmp_path, llm="none", secret_key=SecretStr("a key")))
    known = {str(door) for door in doors(office.app.routes)} | {f"GET {path}" for path in OPEN}
    others = {str(door) for door in doors(program.routes) if not door.path.startswith("/telephony/")} - known
    program.state.program.close()
    assert others == set()


async def refusals(
    browser: httpx.AsyncClient, asked: Iterable[Door], people: People, good: tuple[int, ...]
) -> list[str]:
    """The doors that answered otherwise."""
    wrong = []
    for door in asked:
        answer = await knock(browser, door, people)
        if answer.status_code == 303 and 303 not in good:
            answer = await browser.get(answer.headers["location"])
        if answer.status_code not in good:
            wrong.append(f"{door}: {answer.status_code}")
    return wrong


async def test_no_route_answers_somebody_who_is_not_signed_in(office: Office) -> None:
    async with office.browser() as browser:
        assert await refusals(browser, guarded(office), office.ours, (303, 401, 403)) == []
        for door in guarded(office):
            if (answer := await knock(browser, door, office.ours)).status_code == 303:
                assert answer.headers["location"].startswith("/sign-in?next="), door


async def test_a_cookie_that_is_no_session_is_nobody(office: Office) -> None:
    async with office.browser() as browser:
        browser.cookies.set("carecall", "x" * 43, domain="carecall.test", path="/")
        assert await refusals(browser, guarded(office), office.ours, (303, 401, 403)) == []


async def test_nothing_of_another_organisation_is_found(office: Office) -> None:
    asked = [door for door in guarded(office) if door.names and not door.path.startswith("/api/")]
    assert len(asked) > 30
    assert await refusals(office.admin, asked, office.others, (404,)) == []


async def test_what_belongs_to_one_is_not_found_under_another(office: Office) -> None:
    for door in guarded(office):
        if len(door.names) > 1 and not {"code", "form"} & set(door.names):
            ours, theirs = address(door, office.ours).split("/"), address(door, office.others).split("/")
            answer = await knock(office.admin, door, office.ours, at="/".join([*ours[:3], *theirs[3:]]))
            assert answer.status_code in (404, 409), f"{door}: {answer.status_code}"


async def test_no_page_shows_anything_of_another_organisation(office: Office) -> None:
    theirs = ("최옥순", "정말례", "한기수", "Neighbours", "The town next door", str(office.others.urgent))
    seen = 0
    for door in guarded(office):
        if door.method == "GET" and not door.path.startswith(("/api/", "/events")):
            answer = await knock(office.admin, door, office.ours)
            assert answer.status_code in (200, 303, 404), f"{door}: {answer.status_code}"
            seen += answer.status_code == 200
            assert not any(secret in answer.text for secret in theirs), door
            assert not BY_EMAIL.search(answer.text), door
    assert seen > 10


async def test_who_only_looks_changes_nothing(office: Office) -> None:
    asked = [
        door
        for door in guarded(office)
        if door.method not in SAFE and not door.path.startswith(THEMSELVES) and door.path not in SEARCHES
    ]
    assert await refusals(office.viewer, asked, office.ours, (403,)) == []


async def test_a_care_worker_changes_neither_people_nor_campaigns(office: Office) -> None:
    asked = [
        door
        for door in guarded(office)
        if door.method not in SAFE
        and door.path.startswith(("/people", "/campaigns"))
        and door.path not in (*SEARCHES, *WISHES)
    ]
    assert await refusals(office.care_worker, asked, office.ours, (403,)) == []


async def test_only_administrators_see_the_administration(office: Office) -> None:
    asked = [door for door in guarded(office) if door.path.startswith("/admin")]
    for browser in (office.viewer, office.care_worker, office.supervisor):
        assert await refusals(browser, asked, office.ours, (403,)) == []


def test_the_interface_for_programs_changes_nothing(office: Office) -> None:
    assert {door.method for door in doors(office.app.routes) if door.path.startswith("/api/")} <= SAFE


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_nothing_is_changed_from_the_page_of_somebody_else(office: Office, site: str) -> None:
    for door in doors(office.app.routes):
        if door.method not in SAFE:
            answer = await office.admin.request(
                door.method,
                address(door, office.ours),
                data=filled(door.form, office.ours),
                headers={"Sec-Fetch-Site": site},
            )
            assert answer.status_code == 403, door
