"""The telephone exchange for tests, as Twilio's own SDK and a webhook server see it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from carecall.errors import SimulationError
from carecall.simulation.exchange import Exchange, running_exchange
from carecall.simulation.exchange_log import CallLog, CallRecord, doubled, outside_window, over_rate
from carecall.simulation.exchange_plan import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    OUR_NUMBER,
    Answer,
    Faults,
    Line,
    Pickup,
    Plan,
    load_plan,
)
from carecall.simulation.scenario import Recipient

ANNA = "+15550100001"
EVENTS = ["initiated", "ringing", "answered", "completed"]


@dataclass
class Program:
    """A program that is called back: it checks signatures, and says what it was told to say."""

    base: str = ""
    twiml: dict[str, str] = field(default_factory=dict)  # by path
    forms: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    frames: list[dict[str, Any]] = field(default_factory=list)
    stream: Callable[[WebSocket], Any] | None = None

    async def webhook(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        url = self.base + request.url.path
        if not RequestValidator(AUTH_TOKEN).validate(url, form, request.headers.get("x-twilio-signature", "")):
            return Response(status_code=403)
        self.forms.append((request.url.path, form))
        if request.url.path not in self.twiml:
            return Response(status_code=204)
        return Response(self.twiml[request.url.path], media_type="application/xml")

    async def socket(self, websocket: WebSocket) -> None:
        url = self.base.replace("http", "ws") + websocket.url.path
        if not RequestValidator(AUTH_TOKEN).validate(url, {}, websocket.headers.get("x-twilio-signature", "")):
            await websocket.close()
            return
        await websocket.accept()
        for _ in range(4):
            self.frames.append(await websocket.receive_json())
        if self.stream is not None:
            await self.stream(websocket)
        await websocket.close()

    def statuses(self) -> list[str]:
        return [form["CallStatus"] for path, form in self.forms if path == "/status"]


@asynccontextmanager
async def running_program(program: Program) -> AsyncIterator[None]:
    app = Starlette(
        routes=[
            WebSocketRoute("/stream", program.socket),
            Route("/{path:path}", program.webhook, methods=["POST"]),
        ]
    )
    from carecall.simulation.exchange import _Server

    server = _Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    program.base = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield
    finally:
        server.should_exit = True
        await serving


def talk_then(url: str, program: Program) -> str:
    """TwiML of a media stream, and what follows it."""
    stream = program.base.replace("http", "ws") + "/stream"
    return f'<Response><Connect><Stream url="{stream}"/></Connect><Redirect>{url}</Redirect></Response>'


@dataclass
class Wire:
    """An exchange, a program behind it, and the SDK pointed at it."""

    exchange: Exchange
    base: str
    program: Program
    client: Client

    async def call(self, to: str = ANNA, **options: Any) -> Any:
        """A call as the program makes it."""
        options = {
            "url": f"{self.program.base}/voice",
            "status_callback": f"{self.program.base}/status",
            "status_callback_event": EVENTS,
            **options,
        }
        return await asyncio.to_thread(self.client.calls.create, to=to, from_=OUR_NUMBER, **options)

    async def ended(self, sid: str, within_s: float = 10) -> CallRecord:
        """The record of a call that has ended, and whose callbacks are through."""
        async with asyncio.timeout(within_s):
            while self.exchange.calls[sid].record.ended_at is None or self.exchange._tasks:
                await asyncio.sleep(0.01)
        return self.exchange.calls[sid].record


@asynccontextmanager
async def exchange_with(*calls: Pickup, program: Program | None = None, **plan: Any) -> AsyncIterator[Wire]:
    plan = {"time_scale": 0.02, "calls_per_second": 50, "detection_s": 0.05, **plan}
    if calls:
        plan["lines"] = {ANNA: Line(calls=list(calls))}
    program = program or Program()
    program.twiml.setdefault("/voice", "<Response><Hangup/></Response>")
    exchange = Exchange(Plan(**plan))
    async with running_program(program), running_exchange(exchange) as base:
        client = Client(ACCOUNT_SID, AUTH_TOKEN)
        client.http_client.session.trust_env = False
        request = client.http_client.request

        def ours(method: str, url: str, *args: Any, **options: Any) -> Any:
            return request(method, url.replace("https://api.twilio.com", base), *args, **options)

        client.http_client.request = ours
        yield Wire(exchange, base, program, client)
        client.http_client.session.close()


async def test_an_answered_call_is_told_step_by_step_and_obeys_the_voice_url() -> None:
    program = Program(twiml={"/voice": "<Response><Say>Hello there.</Say><Hangup/></Response>"})
    async with exchange_with(Pickup(rings_s=3), program=program) as line:
        made = await line.call(timeout=30)
        assert (made.status, made.to, made.from_formatted, made.direction) == (
            "queued",
            ANNA,
            OUR_NUMBER,
            "outbound-api",
        )
        record = await line.ended(made.sid)

        assert record.said == ["Hello there."]
        steps = [form for path, form in program.forms if path == "/status"]
        by_sequence = sorted(steps, key=lambda form: int(form["SequenceNumber"]))
        assert [form["CallStatus"] for form in by_sequence] == ["initiated", "ringing", "in-progress", "completed"]
        assert by_sequence[-1]["CallDuration"] == "0"
        assert {form["CallSid"] for form in steps} == {made.sid}
        voice = next(form for path, form in program.forms if path == "/voice")
        assert (voice["CallStatus"], voice["To"], voice["Direction"]) == ("in-progress", ANNA, "outbound-api")

        shown = await asyncio.to_thread(line.client.calls(made.sid).fetch)
        assert (shown.status, shown.duration) == ("completed", "0")
        assert abs(shown.start_time - datetime.now(UTC)) < timedelta(seconds=10)


@pytest.mark.parametrize(
    ("pickup", "status"),
    [
        (Pickup(answer=Answer.BUSY), "busy"),
        (Pickup(answer=Answer.NO_ANSWER), "no-answer"),
        (Pickup(rings_s=40), "no-answer"),
        (Pickup(answer=Answer.FAILED), "failed"),
    ],
)
async def test_a_call_that_nobody_takes_ends_with_its_status(pickup: Pickup, status: str) -> None:
    async with exchange_with(pickup) as line:
        made = await line.call(timeout=30)
        assert (await line.ended(made.sid)).status == status
        assert line.program.statuses()[-1] == status
        assert not [path for path, _ in line.program.forms if path == "/voice"]


async def test_calls_to_one_number_are_answered_in_turn() -> None:
    async with exchange_with(Pickup(answer=Answer.BUSY), Pickup(rings_s=1)) as line:
        first = await line.call()
        assert (await line.ended(first.sid)).status == "busy"
        for _ in range(2):
            later = await line.call()
            assert (await line.ended(later.sid)).status == "completed"


@pytest.mark.parametrize(
    ("options", "code", "status"),
    [
        ({"to": "+1555"}, 21211, 400),
        ({"to": "+15550109999"}, 21211, 400),
        ({"url": "no address"}, 21205, 400),
    ],
)
async def test_a_call_that_cannot_be_made_is_refused_in_twilios_words(
    options: dict[str, str], code: int, status: int
) -> None:
    lines = {"+15550109999": Line(calls=[Pickup(answer=Answer.INVALID)])}
    async with exchange_with(lines=lines) as line:
        with pytest.raises(TwilioRestException) as refused:
            await line.call(**options)
        assert (refused.value.code, refused.value.status) == (code, status)
        assert line.exchange.log.calls == []


async def test_another_accounts_credentials_are_refused() -> None:
    async with exchange_with() as line:
        url = f"{line.base}/2010-04-01/Accounts/{ACCOUNT_SID}/Calls.json"
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(url, auth=(ACCOUNT_SID, "guessed"))
        assert answer.status_code == 401
        assert answer.json()["code"] == 20003


async def test_too_many_requests_are_refused_and_calls_beyond_the_rate_queue() -> None:
    async with exchange_with(requests_per_second=4, calls_per_second=10) as line:
        made = [await line.call(f"+1555010000{index}") for index in range(4)]
        with pytest.raises(TwilioRestException) as refused:
            await line.call()
        assert (refused.value.code, refused.value.status) == (20429, 429)
        await asyncio.gather(*(line.ended(call.sid) for call in made))
        starts = sorted(call.started_at for call in line.exchange.calls.values() if call.started_at)
        assert starts[-1] - starts[0] >= timedelta(seconds=0.28)


async def test_the_list_is_filtered_paged_and_late() -> None:
    async with exchange_with(listing_lag_s=0.5) as line:
        since = datetime.now(UTC)
        made = [await line.call(ANNA if index % 2 else "+15550100002") for index in range(6)]

        def listed() -> list[str]:
            return [call.sid for call in line.client.calls.list(to=ANNA, start_time_after=since, page_size=2)]

        assert await asyncio.to_thread(listed) == []
        await asyncio.sleep(0.6)
        assert await asyncio.to_thread(listed) == [made[index].sid for index in (5, 3, 1)]
        later = since + timedelta(minutes=1)
        assert await asyncio.to_thread(line.client.calls.list, to=ANNA, start_time_after=later) == []


async def test_a_stream_is_opened_signed_and_the_redirect_fetched_after_it() -> None:
    program = Program()
    async with exchange_with(Pickup(rings_s=1), program=program) as line:
        program.twiml["/voice"] = talk_then(f"{program.base}/resume", program)
        program.twiml["/resume"] = "<Response><Hangup/></Response>"
        made = await line.call()
        record = await line.ended(made.sid)

        assert (record.streams, record.refused_streams, record.status) == (1, 0, "completed")
        assert [frame["event"] for frame in program.frames] == ["connected", "start", "media", "media"]
        assert program.frames[1]["start"]["callSid"] == made.sid
        assert [path for path, _ in program.forms if path != "/status"] == ["/voice", "/resume"]


async def test_a_stream_that_cannot_be_opened_goes_on_with_the_redirect() -> None:
    program = Program(
        twiml={
            "/voice": talk_then("/resume", Program(base="http://127.0.0.1:1")),
            "/resume": "<Response><Hangup/></Response>",
        }
    )
    async with exchange_with(Pickup(rings_s=1), program=program) as line:
        record = await line.ended((await line.call()).sid)
        assert (record.streams, record.refused_streams) == (0, 1)
        assert program.forms[-1][0] == "/status"
        assert [path for path, _ in program.forms if path != "/status"] == ["/voice", "/resume"]


async def test_a_stream_may_drop_while_the_call_goes_on() -> None:
    async def listen(websocket: WebSocket) -> None:
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            pass

    program = Program(stream=listen)
    faults = Faults(stream_drops=1, drops_within_s=0.3)
    async with exchange_with(Pickup(rings_s=1), program=program, faults=faults) as line:
        program.twiml["/voice"] = talk_then("/resume", program)
        program.twiml["/resume"] = "<Response><Hangup/></Response>"
        await line.ended((await line.call()).sid)
        assert [path for path, _ in program.forms if path != "/status"] == ["/voice", "/resume"]


async def test_a_person_who_puts_the_receiver_down_ends_the_call_at_once() -> None:
    program = Program(twiml={"/voice": '<Response><Pause length="3000"/></Response>'})
    async with exchange_with(Pickup(rings_s=1, leaves_after_s=0.2), program=program) as line:
        record = await line.ended((await line.call()).sid)
        assert record.answered_at is not None
        assert record.ended_at is not None
        assert timedelta(seconds=0.2) <= record.ended_at - record.answered_at < timedelta(seconds=1)
        assert record.status == "completed"


async def test_a_program_that_gives_no_twiml_loses_the_call() -> None:
    async with exchange_with(Pickup(rings_s=1)) as line:
        gone = await line.call(url="http://127.0.0.1:1/voice")
        nonsense = await line.call("+15550100003", url=f"{line.program.base}/nothing")
        for made in (gone, nonsense):
            assert (await line.ended(made.sid)).status == "completed"


@pytest.mark.parametrize(
    ("pickup", "mode", "answered_by"),
    [
        (Pickup(rings_s=1), "Enable", "human"),
        (Pickup(rings_s=1, detected="unknown"), "Enable", "unknown"),
        (Pickup(rings_s=1, answer=Answer.MACHINE), "Enable", "machine_start"),
        (Pickup(rings_s=1, answer=Answer.MACHINE), "DetectMessageEnd", "machine_end_beep"),
    ],
)
async def test_who_answered_is_told_by_a_callback_of_its_own(pickup: Pickup, mode: str, answered_by: str) -> None:
    program = Program(twiml={"/voice": '<Response><Pause length="10"/></Response>'})
    async with exchange_with(pickup, program=program) as line:
        made = await line.call(
            machine_detection=mode, async_amd="true", async_amd_status_callback=f"{program.base}/who"
        )
        await line.ended(made.sid)
        told = next(form for path, form in program.forms if path == "/who")
        assert told["AnsweredBy"] == answered_by
        assert told["CallSid"] == made.sid
        assert "SequenceNumber" not in told


async def test_a_call_is_ended_or_given_other_words_by_the_api() -> None:
    program = Program(twiml={"/voice": '<Response><Pause length="3000"/></Response>'})
    async with exchange_with(Pickup(rings_s=1), program=program) as line:
        answered = await line.call()
        while line.exchange.calls[answered.sid].status != "in-progress":
            await asyncio.sleep(0.01)
        leave = "<Response><Say>Please call us.</Say></Response>"
        await asyncio.to_thread(line.client.calls(answered.sid).update, twiml=leave)
        record = await line.ended(answered.sid)
        assert (record.said, record.status) == (["Please call us."], "completed")
        with pytest.raises(TwilioRestException) as refused:
            await asyncio.to_thread(line.client.calls(answered.sid).update, status="completed")
        assert refused.value.code == 21220
        with pytest.raises(TwilioRestException) as unknown:
            await asyncio.to_thread(line.client.calls("CA" + "0" * 32).fetch)
        assert (unknown.value.code, unknown.value.status) == (20404, 404)

    async with exchange_with(Pickup(rings_s=1000)) as line:
        ringing = await line.call(timeout=600)
        while line.exchange.calls[ringing.sid].status != "ringing":
            await asyncio.sleep(0.01)
        await asyncio.to_thread(line.client.calls(ringing.sid).update, status="completed")
        assert (await line.ended(ringing.sid)).status == "canceled"


async def test_callbacks_are_lost_doubled_and_late_as_the_seed_says() -> None:
    async def statuses(seed: int, **faults: float) -> list[str]:
        async with exchange_with(Pickup(rings_s=5), seed=seed, faults=Faults(late_s=0.5, **faults)) as line:
            await line.ended((await line.call()).sid)
            return line.program.statuses()

    whole = ["initiated", "ringing", "in-progress", "completed"]
    assert await statuses(1) == whole
    assert await statuses(1, lost=1) == []
    assert sorted(await statuses(1, doubled=1)) == sorted(whole * 2)
    late = [await statuses(seed, late=0.5) for seed in range(4)]
    assert all(sorted(each) == sorted(whole) for each in late)
    assert any(each != whole for each in late)


async def test_a_request_fails_before_or_after_the_call_was_made() -> None:
    async with exchange_with(faults=Faults(error=1)) as line:
        with pytest.raises(TwilioRestException) as failed:
            await line.call()
        assert failed.value.status == 500
        assert line.exchange.log.calls == []
    async with exchange_with(faults=Faults(cut=1)) as line:
        with pytest.raises(Exception, match=r"(?i)connection"):
            await line.call()
        assert [call.to for call in line.exchange.log.calls] == [ANNA]


async def test_somebody_rings_our_number() -> None:
    program = Program(twiml={"/inbound": "<Response><Say>Who is there?</Say></Response>"})
    async with running_program(program):
        plan = Plan(time_scale=0.02, inbound_url=f"{program.base}/inbound", inbound_status_url=f"{program.base}/status")
        exchange = Exchange(plan)
        async with running_exchange(exchange) as base, httpx.AsyncClient(base_url=base, trust_env=False) as client:
            sid = (await client.post("/exchange/ring", json={"from": ANNA})).json()["sid"]
            while exchange.live():
                await asyncio.sleep(0.01)
            log = (await client.get("/exchange/log")).json()
        path, asked = program.forms[0]
        assert (path, asked["Direction"], asked["CallStatus"]) == ("/inbound", "inbound", "ringing")
        assert (asked["From"], asked["To"], asked["CallSid"]) == (ANNA, OUR_NUMBER, sid)
        assert (log[0]["inbound"], log[0]["status"], log[0]["said"]) == (True, "completed", ["Who is there?"])


def test_the_log_is_kept_as_lines_and_judged(tmp_path: Path) -> None:
    log = CallLog(tmp_path / "log.jsonl")
    closed_now = Line(opens=datetime(2026, 1, 1, 0, 0).time(), closes=datetime(2026, 1, 1, 0, 0).time())
    first = log.open("CA1", ANNA, Line(), inbound=False)
    second = log.open("CA2", ANNA, Line(), inbound=False)
    log.open("CA3", "+15550100002", closed_now, inbound=False)
    first.ended_at = datetime.now(UTC)
    log.changed(first)
    log.close()
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 4
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])["sid"] == "CA1"
    assert doubled(log.calls) == [("CA1", "CA2")]
    second.created_at = first.ended_at
    assert doubled(log.calls) == []
    assert outside_window(log.calls) == ["CA3"]
    assert over_rate(log.calls, 2.0) == []
    assert sorted(over_rate(log.calls, 0.5)) == ["CA2", "CA3"]


def test_people_who_talk_need_a_voice() -> None:
    with pytest.raises(SimulationError, match="no voice"):
        Exchange(Plan(lines={ANNA: Line(calls=[Pickup(recipient=Recipient(name="Anna", greets="Yes?"))])}))


def test_a_plan_that_is_wrong_says_where(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text('{"lines": {"+15550100001": {"calls": [{"answer": "robot"}]}}}')
    with pytest.raises(SimulationError, match=r"calls\.0\.answer"):
        load_plan(file)
