"""Whatever is asked of the interface, it answers as its description says, and never with an error of its own."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import schemathesis
from dashboard_office import Office, open_office
from fastapi import FastAPI, Request
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import APIOperation, Case, CheckFunction, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from carecall.dashboard.api import api_application
from carecall.dashboard.api_access import Limit
from carecall.dashboard.dashboard import Dashboard
from carecall.domain.viewer import Role, Viewer

_EXAMPLES = 15
_UNSURE = {"date", "_lastUpdated", "raised", "_cursor"}

Operation = APIOperation[Any, Any, Any, Any]
Tried = Case[Any]


async def _nobody(_: Request) -> Viewer:
    raise AssertionError("the interface is no page")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FastAPI, str]]:
    """The interface over an office, and a good token."""
    folder: Path = tmp_path_factory.mktemp("office")
    loop = asyncio.new_event_loop()
    opened = open_office(folder)
    office: Office = loop.run_until_complete(opened.__aenter__())
    dashboard = Dashboard(office.settings, office.store, _nobody)
    app = FastAPI(openapi_url=None)
    app.mount("/api", api_application(dashboard, Limit(a_second=1e6, at_once=1_000_000)))
    yield app, office.store.care.add_api_token(office.ours.users[Role.ADMIN], "fuzz", actor="test")
    loop.run_until_complete(opened.__aexit__(None, None, None))
    loop.close()


def operations(app: FastAPI) -> list[Operation]:
    """Every operation that the interface describes."""
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", app)
    return [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]


def each_case(operation: Operation, mode: GenerationMode, answers: Callable[[Tried], None]) -> None:
    """Tries requests as they are described, or such as are described to be wrong."""

    @settings(max_examples=_EXAMPLES, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Tried) -> None:
        answers(case)

    one()


@pytest.mark.parametrize("mode", GenerationMode)
def test_with_a_token_every_answer_is_as_described(mode: GenerationMode, served: tuple[FastAPI, str]) -> None:
    app, token = served

    def answers(case: Tried) -> None:
        if any("\n" in unquote(str(each)) for each in case.path_parameters.values()):
            return  # such an address is nowhere, and is not the interface's to answer
        # No schema says that there is no 30 February, nor which cursors were given out.
        unsure: list[CheckFunction] = [positive_data_acceptance] if _UNSURE & set(case.query) else []
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, excluded_checks=unsure)

    for operation in operations(app):
        each_case(operation, mode, answers)


def test_without_a_token_nothing_is_answered_but_what_the_server_can_do(served: tuple[FastAPI, str]) -> None:
    def answers(case: Tried) -> None:
        response = case.call_and_validate(excluded_checks=[positive_data_acceptance])
        assert case.path == "/fhir/metadata" or response.status_code in (400, 401)

    for operation in operations(served[0]):
        each_case(operation, GenerationMode.POSITIVE, answers)
