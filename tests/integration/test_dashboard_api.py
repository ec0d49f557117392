"""The interface for other systems: what a token reads, of whom, and what is said when it cannot."""

import json
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from dashboard_office import Office
from fastapi import FastAPI
from fhir_rules import valid

from carecall.dashboard.api import api_application
from carecall.dashboard.api_access import Limit
from carecall.dashboard.dashboard import Dashboard
from carecall.domain.finding import Ternary
from carecall.domain.viewer import Role, Viewer
from carecall.exchange.fhir import instant
from carecall.store.api_tokens import ApiToken
from carecall.store.tables import CorrectionRow, ValueKind


def token_of(office: Office, viewer: Viewer) -> str:
    return office.store.care.add_api_token(viewer, "health authority", actor="test")


def known_token(office: Office) -> ApiToken:
    """What is known of it."""
    tokens = office.store.care.api_tokens(office.ours.users[Role.ADMIN])
    return next(each for each in tokens if each.name == "health authority")


@pytest_asyncio.fixture
async def api(office: Office) -> AsyncIterator[httpx.AsyncClient]:
    """A program with a good token of ours."""
    async with office.browser() as client:
        client.headers["Authorization"] = f"Bearer {token_of(office, office.ours.users[Role.ADMIN])}"
        yield client


async def read(client: httpx.AsyncClient, path: str, status: int = 200) -> dict[str, Any]:
    """The resource at an address, which is valid."""
    response = await client.get(path)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/fhir+json"
    return valid(response.json())


def resources(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in bundle.get("entry", [])]


def following(bundle: dict[str, Any]) -> str | None:
    return next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)


async def every_page(client: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    address: str | None = path
    while address is not None:
        bundle = await read(client, address)
        found += resources(bundle)
        address = following(bundle)
    return found


def correct(office: Office, attempt_id: uuid.UUID) -> uuid.UUID:
    """A care worker corrects the finding of a call."""
    with office.store._database.writing() as session:
        row = CorrectionRow(
            attempt_id=attempt_id,
            code="chest_pain",
            kind=ValueKind.TERNARY,
            value=Ternary.NO.value,
            reason="a pulled muscle",
            user_id=office.ours.users[Role.CARE_WORKER].user_id,
            at=office.clock(),
        )
        session.add(row)
    return row.id


async def test_a_server_says_what_it_can_do_without_a_token(office: Office) -> None:
    async with office.browser() as client:
        statement = await read(client, "/api/fhir/metadata")
    assert statement["fhirVersion"] == "4.0.1"
    kinds = [each["type"] for each in statement["rest"][0]["resource"]]
    assert kinds == ["Patient", "QuestionnaireResponse", "Observation", "Provenance"]
    assert statement["date"] == instant(office.clock())


async def test_an_answer_is_of_the_moment_by_the_clock_of_the_store(office: Office, api: httpx.AsyncClient) -> None:
    office.clock.pass_(timedelta(hours=1))
    assert (await read(api, "/api/fhir/Patient"))["timestamp"] == instant(office.clock())


async def test_people_are_read_page_by_page(office: Office, api: httpx.AsyncClient) -> None:
    found = await every_page(api, "/api/fhir/Patient?_count=1")
    assert {each["id"] for each in found} == {
        str(each) for each in (office.ours.urgent, office.ours.fine, office.ours.unreached)
    }
    chosen = await read(api, f"/api/fhir/Patient?_id={office.ours.fine},{office.others.fine},nobody")
    assert [each["id"] for each in resources(chosen)] == [str(office.ours.fine)]


async def test_a_person_is_read_with_everything(office: Office, api: httpx.AsyncClient) -> None:
    whole = await every_page(api, f"/api/fhir/Patient/{office.ours.urgent}/$everything")
    kinds = [each["resourceType"] for each in whole]
    assert kinds == ["Patient", "QuestionnaireResponse", "Observation", "Provenance"]
    assert await every_page(api, f"/api/fhir/Patient/{office.ours.urgent}/$everything?_count=2") == whole
    assert await every_page(api, f"/api/fhir/Patient/{office.ours.urgent}/$everything?_count=1") == whole


@pytest.mark.parametrize("kind", ["QuestionnaireResponse", "Observation", "Provenance"])
async def test_what_a_search_finds_is_read_by_its_address(office: Office, api: httpx.AsyncClient, kind: str) -> None:
    correct(office, office.ours.urgent_call)
    bundle = await read(api, f"/api/fhir/{kind}?patient=Patient/{office.ours.urgent}")
    assert bundle["entry"]
    for entry in bundle["entry"]:
        assert await read(api, entry["fullUrl"]) == entry["resource"]


async def test_reports_are_followed_by_the_moment_they_changed(office: Office, api: httpx.AsyncClient) -> None:
    address = "/api/fhir/QuestionnaireResponse"
    assert len(resources(await read(api, f"{address}?_lastUpdated=ge2026-05-04"))) == 2
    assert len(await every_page(api, f"{address}?_count=1")) == 2
    assert resources(await read(api, f"{address}?_lastUpdated=gt2026-05-04")) == []
    office.clock.pass_(timedelta(days=2))
    correct(office, office.ours.urgent_call)
    changed = resources(await read(api, f"{address}?_lastUpdated=gt2026-05-04"))
    assert [(each["id"], each["status"]) for each in changed] == [(str(office.ours.urgent_call), "amended")]


async def test_findings_come_with_the_reports_that_they_rest_on(office: Office, api: httpx.AsyncClient) -> None:
    bundle = await read(
        api, "/api/fhir/QuestionnaireResponse?_revinclude=Observation:derived-from&_revinclude=Provenance:target"
    )
    modes = [(entry["resource"]["resourceType"], entry["search"]["mode"]) for entry in bundle["entry"]]
    assert modes.count(("QuestionnaireResponse", "match")) == 2
    assert modes.count(("Observation", "include")) == 2
    assert modes.count(("Provenance", "include")) == 2


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 1),
        ("&code=29857009", 1),
        ("&code=http://snomed.info/sct|29857009", 1),
        ("&code=http://loinc.org|29857009", 0),
        ("&code=49727002,29857009", 1),
        ("&date=2026-05-04", 1),
        ("&date=lt2026-05-04", 0),
        ("&date=ge2026-05-01&date=le2026-05", 1),
    ],
)
async def test_findings_are_searched(office: Office, api: httpx.AsyncClient, query: str, count: int) -> None:
    found = await read(api, f"/api/fhir/Observation?patient={office.ours.urgent}{query}")
    assert len(resources(found)) == count


async def test_alerts_are_listed_as_work(office: Office, api: httpx.AsyncClient) -> None:
    answer = (await api.get("/api/alerts")).json()
    assert [each["id"] for each in answer["alerts"]] == [str(office.ours.alert)]
    assert answer["alerts"][0]["urgency"] == "emergency"
    assert answer["next"] is None
    assert (await api.get("/api/alerts?raised=gt2026-05-04")).json()["alerts"] == []


async def test_nothing_of_another_organisation_is_seen(office: Office, api: httpx.AsyncClient) -> None:
    theirs = office.others
    for path in (
        f"Patient/{theirs.urgent}",
        f"Patient/{theirs.urgent}/$everything",
        f"QuestionnaireResponse/{theirs.urgent_call}",
        f"Observation/{theirs.urgent_call}.0",
        f"Provenance/{theirs.urgent_call}",
        f"Provenance/{correct(office, theirs.urgent_call)}",
    ):
        outcome = await read(api, f"/api/fhir/{path}", 404)
        assert outcome["issue"][0]["code"] == "not-found"
    for kind in ("QuestionnaireResponse", "Observation", "Provenance"):
        assert resources(await read(api, f"/api/fhir/{kind}?patient={theirs.urgent}")) == []
    seen = json.dumps([await every_page(api, f"/api/fhir/{kind}") for kind in ("Patient", "QuestionnaireResponse")])
    for id_ in (theirs.urgent, theirs.fine, theirs.unreached, theirs.urgent_call, theirs.fine_call):
        assert str(id_) not in seen


@pytest.mark.parametrize(
    "path",
    [
        "Patient?name=Kim",
        "Patient?_count=0",
        "Patient?_count=many",
        "Patient?_cursor=nowhere",
        "Observation",
        "Observation?patient=Group/1",
        "QuestionnaireResponse?_lastUpdated=yesterday",
        "QuestionnaireResponse?_lastUpdated=ne2026",
        "QuestionnaireResponse?_revinclude=Patient:link",
        "Patient?_count=1&_count=2",
    ],
)
async def test_what_is_not_understood_is_refused_not_ignored(api: httpx.AsyncClient, path: str) -> None:
    outcome = await read(api, f"/api/fhir/{path}", 400)
    assert outcome["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize("path", ["/api/fhir/Patient", "/api/alerts", "/api/fhir/Observation?patient=1"])
async def test_nothing_is_read_without_a_good_token(office: Office, path: str) -> None:
    token = token_of(office, office.ours.users[Role.ADMIN])
    office.store.care.revoke_api_token(office.ours.users[Role.ADMIN], known_token(office).id, actor="test")
    async with office.browser() as client:
        for authorization in ("", "Bearer ", "Bearer wrong", "Basic d3Jvbmc6d3Jvbmc=", f"Bearer {token}"):
            client.headers["Authorization"] = authorization
            outcome = await read(client, path, 401)
            assert outcome["issue"][0]["code"] == "login"
    response = await office.admin.get(path)
    assert response.status_code == 401  # a session at a browser is no token
    assert response.headers["www-authenticate"] == "Bearer"


async def test_only_json_is_spoken(api: httpx.AsyncClient) -> None:
    await read(api, "/api/fhir/Patient?_format=xml", 406)
    for accept, status in (("application/fhir+xml", 406), ("text/html", 406), ("application/json", 200), ("*/*", 200)):
        api.headers["Accept"] = accept
        await read(api, "/api/fhir/Patient", status)


async def test_nothing_can_be_changed(api: httpx.AsyncClient) -> None:
    response = await api.post("/api/fhir/Patient", json={"resourceType": "Patient"})
    assert response.status_code == 405
    assert response.json()["resourceType"] == "OperationOutcome"


async def test_whoever_asks_too_often_is_told_when_to_come_back(office: Office) -> None:
    async def nobody(_: object) -> Viewer:
        raise AssertionError

    app, moment = FastAPI(), [0.0]
    limit = Limit(a_second=1.0, at_once=2, clock=lambda: moment[0])
    app.mount("/api", api_application(Dashboard(office.settings, office.store, nobody), limit))
    headers = {"Authorization": f"Bearer {token_of(office, office.ours.users[Role.ADMIN])}"}
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://carecall.test", headers=headers) as client:
        statuses = [(await client.get("/api/fhir/Patient")).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        refused = await client.get("/api/fhir/Patient")
        assert refused.headers["retry-after"] == "2"
        moment[0] = 1.0
        assert (await client.get("/api/fhir/Patient")).status_code == 200


async def test_every_read_is_in_the_audit_trail_by_the_person_read(office: Office, api: httpx.AsyncClient) -> None:
    await read(api, f"/api/fhir/Observation?patient={office.ours.urgent}")
    entry = office.store.audit.of(f"recipient:{office.ours.urgent}")[-1]
    token = known_token(office)
    assert (entry.actor, entry.action) == (f"api_token:{token.id}", "api.read")
    assert token.used_at == office.clock()


async def test_the_description_is_a_page_of_our_own(office: Office) -> None:
    async with office.browser() as client:
        page = await client.get("/api/docs", headers={"Accept-Language": "ko"})
        schema = (await client.get("/api/openapi.json")).json()
    assert page.status_code == 200
    assert "외부 시스템 연동" in page.text
    for path in schema["paths"]:
        assert f"GET /api{path}" in page.text
    assert "https://" not in page.text.replace("https://carecall.test", "")
