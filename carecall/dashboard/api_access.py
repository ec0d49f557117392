"""Who may read through the interface, how often, and how it says no: bearer tokens, a limit, OperationOutcomes."""

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from carecall.domain.viewer import Viewer
from carecall.errors import StoreNotFound, StoreUnavailable
from carecall.exchange.fhir import operation_outcome
from carecall.exchange.fhir_search import QueryError
from carecall.store import Store

logger = logging.getLogger(__name__)

A_SECOND = 10.0  # requests of one token, in the long run
AT_ONCE = 100  # after a rest
_MOST_KNOWN = 10_000

_bearer = HTTPBearer(auto_error=False, description="A token made with: carecall api-token add NAME")
_CODES = {  # of the value set issue-type
    400: "invalid",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    406: "not-supported",
    429: "throttled",
    503: "transient",
}


class FhirResponse(JSONResponse):
    media_type = "application/fhir+json"


class Limit:
    """A bucket a caller that fills again at a steady rate."""

    def __init__(
        self, a_second: float = A_SECOND, at_once: int = AT_ONCE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._a_second = a_second
        self._at_once = at_once
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what was left, and when

    def wait_s(self, caller: str) -> float:
        """Counts a request; seconds until the next is welcome when this one is one too many, else 0."""
        now = self._clock()
        left, at = self._left.pop(caller, (float(self._at_once), now))
        left = min(self._at_once, left + (now - at) * self._a_second)
        self._left[caller] = (max(left - 1, 0.0) if left >= 1 else left, now)
        while len(self._left) > _MOST_KNOWN:
            self._left.popitem(last=False)
        return 0.0 if left >= 1 else (1 - left) / self._a_second


class Access:
    """A dependency: on whose behalf the request is made. Raises HTTPException 401 or 429."""

    def __init__(self, store: Store, limit: Limit) -> None:
        self._store = store
        self._limit = limit

    async def __call__(
        self, request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Viewer:
        token = credentials.credentials if credentials is not None else ""
        known = f"token {hashlib.sha256(token.encode()).hexdigest()}" if token else ""
        if wait_s := self._limit.wait_s(known or f"host {request.client.host if request.client else ''}"):
            raise HTTPException(429, "Too many requests.", {"Retry-After": str(int(wait_s) + 1)})
        holder = await self._store.run(self._store.api_tokens.holder, token) if token else None
        if holder is None:
            raise HTTPException(401, "Send an API token that is good.", {"WWW-Authenticate": "Bearer"})
        return holder


def add_outcomes(app: FastAPI) -> None:
    """Whatever goes wrong is said as an OperationOutcome, without a word of what was asked for."""

    def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _outcome(error.status_code, str(error.detail), dict(error.headers or {}))

    def wrong(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        return _outcome(400, f"{'.'.join(str(part) for part in first['loc'][1:])}: {first['msg']}")

    def not_understood(request: Request, error: Exception) -> Response:
        return _outcome(400, str(error))

    def not_there(request: Request, error: Exception) -> Response:
        return _outcome(404, "There is no such record.")

    def no_database(request: Request, error: Exception) -> Response:
        logger.error("the interface cannot answer: %s", error)
        return _outcome(503, "The database cannot be used at the moment.", {"Retry-After": "5"})

    def broken(request: Request, error: Exception) -> Response:
        return _outcome(500, "Something went wrong on our side.")

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, wrong)
    app.add_exception_handler(QueryError, not_understood)
    app.add_exception_handler(StoreNotFound, not_there)
    app.add_exception_handler(StoreUnavailable, no_database)
    app.add_exception_handler(Exception, broken)


def _outcome(status: int, diagnostics: str, headers: dict[str, str] | None = None) -> Response:
    code = _CODES.get(status, "exception" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "processing")
    severity = "fatal" if status == HTTPStatus.INTERNAL_SERVER_ERROR else "error"
    return FhirResponse(operation_outcome(severity, code, diagnostics), status, headers)
