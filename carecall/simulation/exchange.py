"""A telephone exchange for tests: behaves towards our program as Twilio's REST interface and webhooks do.

Point the program at it with CARECALL_TWILIO_API_URL. ``python -m carecall.simulation.exchange --port 8090 --plan FILE``
runs it in a process of its own. Beside Twilio's addresses there are ``GET /exchange/log`` (every call, as JSON) and
``POST /exchange/ring`` (``{"from": NUMBER}``: somebody calls our number).
"""

import argparse
import asyncio
import base64
import hmac
import json
import logging
import re
import secrets
import socket
from collections import Counter, deque
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import typer
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from carecall.errors import SimulationError
from carecall.settings import settings
from carecall.simulation.exchange_call import TERMINAL, Asked, Call, CallRequest, Mouth, Network
from carecall.simulation.exchange_log import CallLog, CallRecord
from carecall.simulation.exchange_plan import Answer, Plan, load_plan
from carecall.simulation.media_peer import sid

_CALLS = "/2010-04-01/Accounts/{account}/Calls"
_FETCH_WITHIN_S = 15.0


class ApiError(Exception):
    """An error as the API words it: https://www.twilio.com/docs/api/errors."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def response(self) -> Response:
        more = f"https://www.twilio.com/docs/errors/{self.code}"
        content = {"code": self.code, "message": str(self), "more_info": more, "status": self.status}
        return JSONResponse(content, self.status)


class _CutOff(Response):
    """An answer that breaks off before its body is whole."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"account_sid": "AC', "more_body": True})


class Exchange:
    """The exchange: its calls, and the ASGI application ``app``."""

    def __init__(
        self, plan: Plan, *, log: CallLog | None = None, mouth: Mouth | None = None, asked: Asked | None = None
    ) -> None:
        """Raises SimulationError when the plan has people who talk and there is no ``mouth`` to talk with."""
        if plan.speaks and mouth is None:
            raise SimulationError("People of the plan talk, and there is no voice to talk with.")
        self.plan = plan
        self.log = log or CallLog()
        self.calls: dict[str, Call] = {}
        self.refused = Counter[int]()  # requests to the API, by Twilio's error code
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests: deque[float] = deque()
        self._per_number = Counter[str]()
        self._line_free_at = 0.0
        self._client = httpx.AsyncClient(timeout=_FETCH_WITHIN_S, trust_env=False)
        self._network = Network(plan, self.log, self._client, self._spawn, self._wait_for_line, mouth, asked)
        self.app = Starlette(
            routes=[
                Route(f"{_CALLS}.json", self._create, methods=["POST"]),
                Route(f"{_CALLS}.json", self._list, methods=["GET"]),
                Route(f"{_CALLS}/{{sid}}.json", self._update, methods=["POST"]),
                Route(f"{_CALLS}/{{sid}}.json", self._show, methods=["GET"]),
                Route("/exchange/log", self._show_log, methods=["GET"]),
                Route("/exchange/ring", self._ring, methods=["POST"]),
            ],
            exception_handlers={ApiError: self._refuse},
        )

    def ring(self, number: str) -> str:
        """Somebody calls our number; gives the call's SID. How they behave is said by their line. Raises ApiError."""
        if not self.plan.inbound_url:
            raise ApiError(400, 21205, "the plan has no inbound_url")
        request = CallRequest(
            to=number,
            from_=self.plan.numbers[0],
            url=self.plan.inbound_url,
            status_callback=self.plan.inbound_status_url,
            inbound=True,
        )
        return self._begin(request).sid

    def live(self) -> list[CallRecord]:
        """The calls that have not ended."""
        return [record for record in self.log.calls if record.ended_at is None]

    async def close(self) -> None:
        """Cuts off every call."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()
        self.log.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _wait_for_line(self) -> None:
        now = asyncio.get_running_loop().time()
        starts_at = max(now, self._line_free_at)
        self._line_free_at = starts_at + 1 / self.plan.calls_per_second
        await asyncio.sleep(starts_at - now)

    def _begin(self, request: CallRequest) -> Call:
        line = self.plan.line(request.to)
        number = self._per_number[request.to]
        self._per_number[request.to] += 1
        call_sid = sid("CA")
        record = self.log.open(call_sid, request.to, line, inbound=request.inbound)
        call = Call(call_sid, request, line.pickup(number), record, self._network, number)
        self.calls[call_sid] = call
        self._spawn(call.live())
        return call

    async def _create(self, request: Request) -> Response:
        form = await self._admitted(request)
        wanted = _wanted(form)
        if self.plan.line(wanted.to).pickup(self._per_number[wanted.to]).answer is Answer.INVALID:
            raise ApiError(400, 21211, f"Invalid 'To' Phone Number: {wanted.to[:-4]}XXXX")
        if wanted.from_ not in self.plan.numbers:
            raise ApiError(400, 21210, f"From phone number not verified: {wanted.from_}")
        faults = self.plan.faults
        dice = self.plan.chance(f"request {wanted.to}", len(self.log.calls))
        if dice.random() < faults.error:
            raise ApiError(500, 20500, "Internal Server Error")
        call = self._begin(wanted)
        if dice.random() < faults.cut:
            return _CutOff()
        return JSONResponse({**self._resource(call), "date_created": None, "date_updated": None}, 201)  # as Twilio does

    async def _list(self, request: Request) -> Response:
        await self._admitted(request)
        query = request.query_params
        page, size = int(query.get("Page", "0")), min(int(query.get("PageSize", "50")), 1000)
        found = [call for call in reversed(self.calls.values()) if self._listed(call, query)]
        wanted = found[page * size : (page + 1) * size]
        more = len(found) > (page + 1) * size

        def address(number: int) -> str:
            kept = [(name, value) for name, value in query.multi_items() if name not in ("Page", "PageToken")]
            token = [("PageToken", f"PACA{number}")] if number else []
            return f"{request.url.path}?{urlencode([*kept, ('Page', str(number)), *token])}"

        return JSONResponse(
            {
                "calls": [self._resource(call) for call in wanted],
                "page": page,
                "page_size": size,
                "start": page * size,
                "end": page * size + max(0, len(wanted) - 1),
                "uri": address(page),
                "first_page_uri": address(0),
                "next_page_uri": address(page + 1) if more else None,
                "previous_page_uri": address(page - 1) if page else None,
            }
        )

    def _listed(self, call: Call, query: Any) -> bool:
        if (datetime.now(UTC) - call.record.created_at).total_seconds() < self.plan.listing_lag_s:
            return False
        shown = self._resource(call)
        if any(name in query and query[name] != shown[name.lower()] for name in ("To", "From", "Status")):
            return False
        started_at = call.started_at.replace(microsecond=0) if call.started_at else None
        after, before, on = (_moment(query.get(name)) for name in ("StartTime>", "StartTime<", "StartTime"))
        if started_at is None:
            return after is None and before is None and on is None
        return (
            (after is None or started_at >= after)
            and (before is None or started_at <= before)
            and (on is None or started_at.date() == on.date())
        )

    async def _show(self, request: Request) -> Response:
        await self._admitted(request)
        return JSONResponse(self._resource(self._known(request)))

    async def _update(self, request: Request) -> Response:
        form = await self._admitted(request)
        call = self._known(request)
        status, twiml = form.get("Status", [""])[0], form.get("Twiml", [""])[0]
        if call.status in TERMINAL or (twiml and call.status != "in-progress"):
            raise ApiError(400, 21220, "Call is not in-progress. Cannot redirect.")
        if twiml:
            call.order("", twiml)
        elif status == "completed" or (status == "canceled" and call.status != "in-progress"):
            answered = call.record.answered_at is not None
            call.order("completed" if answered else "canceled")
        elif status != "canceled":
            raise ApiError(400, 21218, f"Invalid Status: {status or 'nothing to do'}")
        await asyncio.sleep(0)
        return JSONResponse(self._resource(call))

    async def _show_log(self, request: Request) -> Response:
        return Response(
            json.dumps([asdict(record) for record in self.log.calls], default=str), media_type="application/json"
        )

    async def _ring(self, request: Request) -> Response:
        return JSONResponse({"sid": self.ring((await request.json())["from"])}, 201)

    async def _admitted(self, request: Request) -> dict[str, list[str]]:
        """The form of a request that may be made, after the latency of the network. Raises ApiError."""
        plan = self.plan
        given = request.headers.get("authorization", "").partition(" ")[2]
        due = base64.b64encode(f"{plan.account_sid}:{plan.auth_token}".encode()).decode()
        if not hmac.compare_digest(given, due) or request.path_params["account"] != plan.account_sid:
            raise ApiError(401, 20003, "Authenticate")
        now = asyncio.get_running_loop().time()
        while self._requests and self._requests[0] <= now - 1:
            self._requests.popleft()
        if len(self._requests) >= plan.requests_per_second:
            raise ApiError(429, 20429, "Too Many Requests")
        self._requests.append(now)
        form: dict[str, list[str]] = {}
        for name, value in parse_qsl((await request.body()).decode(), keep_blank_values=True):
            form.setdefault(name, []).append(value)
        await asyncio.sleep(secrets.randbelow(1000) / 1000 * plan.faults.latency_s)
        return form

    async def _refuse(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        self.refused[error.code] += 1
        return error.response()

    def _known(self, request: Request) -> Call:
        call = self.calls.get(request.path_params["sid"])
        if call is None:
            raise ApiError(404, 20404, f"The requested resource {request.url.path} was not found")
        return call

    def _resource(self, call: Call) -> dict[str, Any]:
        """The call as the API shows it."""
        record, request, plan = call.record, call.request, self.plan
        path = f"/2010-04-01/Accounts/{plan.account_sid}/Calls/{call.sid}"
        to, from_ = (request.from_, request.to) if request.inbound else (request.to, request.from_)
        updated = record.ended_at or record.answered_at or record.rang_at or record.created_at
        duration_s = call.duration_s
        return {
            "account_sid": plan.account_sid,
            "annotation": None,
            "answered_by": call.answered_by,
            "api_version": "2010-04-01",
            "caller_name": "",
            "date_created": _rfc2822(record.created_at),
            "date_updated": _rfc2822(updated),
            "direction": "inbound" if request.inbound else "outbound-api",
            "duration": None if duration_s is None else str(duration_s),
            "end_time": _rfc2822(record.ended_at),
            "forwarded_from": None,
            "from": from_,
            "from_formatted": from_,
            "group_sid": None,
            "parent_call_sid": None,
            "phone_number_sid": "PN" + "6" * 32,
            "price": None,
            "price_unit": "USD",
            "queue_time": "0",
            "sid": call.sid,
            "start_time": _rfc2822(call.started_at),
            "status": "queued" if record.status == "initiated" else record.status,
            "subresource_uris": {"events": f"{path}/Events.json", "recordings": f"{path}/Recordings.json"},
            "to": to,
            "to_formatted": to,
            "trunk_sid": "",
            "uri": f"{path}.json",
        }


class _Server(uvicorn.Server):
    """Serves beside other tasks of one event loop, and leaves the process's signals alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def running_exchange(exchange: Exchange, port: int = 0) -> AsyncIterator[str]:
    """The base URL of an exchange that runs in this event loop, on loopback, until the block ends."""
    listener = socket.create_server(("127.0.0.1", port))
    server = _Server(uvicorn.Config(exchange.app, log_config=None, access_log=False, lifespan="off"))
    serving = asyncio.create_task(server.serve([listener]))
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn gives no event to wait for
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await exchange.close()
        server.should_exit = True
        await serving


def recipient_mouth(plan: Plan) -> Mouth | None:
    """A voice for the people of a plan, kept once rendered; None when nobody says words. Raises SimulationError."""
    if not plan.speaks:
        return None
    from carecall.simulation.voice_call import recipient_phrases  # loads the voice, which few exchanges need

    phrases = recipient_phrases(settings(), plan.language)

    async def mouth(words: str) -> bytes:
        return await asyncio.to_thread(phrases.render, words, on_disk=True)

    return mouth


def _wanted(form: dict[str, list[str]]) -> CallRequest:
    """What is to be called, and how. Raises ApiError."""

    def value(name: str, default: str = "") -> str:
        return form.get(name, [default])[0]

    to, from_, url, twiml = value("To"), value("From"), value("Url"), value("Twiml")
    if not to:
        raise ApiError(400, 21201, "No 'To' number is specified")
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", to):
        raise ApiError(400, 21211, f"Invalid 'To' Phone Number: {to}")
    if not from_:
        raise ApiError(400, 21213, "Caller phone number required")
    if not url and not twiml:
        raise ApiError(400, 21205, "Url parameter is required.")
    for address in (url, value("StatusCallback"), value("AsyncAmdStatusCallback")):
        if address and not re.match(r"https?://[^/]+", address):
            raise ApiError(400, 21205, f"Url is not a valid URL: {address}")
    if (amd := value("MachineDetection")) not in ("", "Enable", "DetectMessageEnd"):
        raise ApiError(400, 20001, f"Invalid MachineDetection: {amd}")
    if amd and value("AsyncAmd") != "true":
        raise ApiError(400, 20001, "the exchange detects machines with AsyncAmd=true only")
    return CallRequest(
        to=to,
        from_=from_,
        url=url,
        twiml=twiml,
        method=value("Method", "POST"),
        status_callback=value("StatusCallback"),
        events=tuple(form.get("StatusCallbackEvent", ["completed"])),
        timeout_s=float(value("Timeout", "60")),
        time_limit_s=float(value("TimeLimit", "14400")),
        machine_detection=amd,
        detection_callback=value("AsyncAmdStatusCallback"),
    )


def _moment(text: str | None) -> datetime | None:
    """A filter's date or moment, in UTC. Raises ApiError."""
    if text is None:
        return None
    try:
        if "T" not in text:
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ApiError(400, 20001, f"Invalid StartTime: {text}") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _rfc2822(moment: datetime | None) -> str | None:
    return None if moment is None else format_datetime(moment)


async def _serve(plan: Plan, port: int, log: Path | None) -> None:
    exchange = Exchange(plan, log=CallLog(log), mouth=recipient_mouth(plan))
    async with running_exchange(exchange, port) as base:
        typer.echo(f"The exchange listens on {base} (Ctrl-C ends it)", err=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m carecall.simulation.exchange", description=__doc__)
    parser.add_argument("--port", type=int, default=8090, help="port to listen on, of loopback")
    parser.add_argument("--plan", type=Path, help="JSON file: see carecall.simulation.exchange_plan.Plan")
    parser.add_argument("--log", type=Path, help="file for the call log, a JSON object a line")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    plan = load_plan(options.plan) if options.plan else Plan()
    try:
        asyncio.run(_serve(plan, options.port, options.log))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
