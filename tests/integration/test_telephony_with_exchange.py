"""The dialer and the telephony routes against the telephone exchange: real HTTP, real signatures, real streams."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID, uuid4

import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from carecall.domain.language import Language
from carecall.domain.progress import CallFailure, CallProgress, CallStatus
from carecall.outreach.dialer import DialRefused, DialRequest, DialUnknown
from carecall.settings import Settings
from carecall.simulation.exchange import Exchange, running_exchange
from carecall.simulation.exchange_plan import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    OUR_NUMBER,
    Answer,
    Faults,
    Line,
    Pickup,
    Plan,
)
from telephony.counters import WebhookCounters
from telephony.dialer import TwilioDialer
from telephony.media_stream import MediaStream
from telephony.router import WS_MAX_SIZE, TelephonyPorts, telephony_router

ANNA = "+15550100001"


@dataclass(frozen=True)
class Granted:
    attempt_id: UUID
    needs_signature: bool = True


@dataclass
class Program:
    """The rest of the program, in memory; it holds every call for a moment."""

    next_step: Literal["hang_up", "reconnect"] = "hang_up"
    callers: dict[str, UUID] = field(default_factory=dict)
    tokens: dict[str, UUID] = field(default_factory=dict)
    held: list[UUID] = field(default_factory=list)
    progress: list[CallProgress] = field(default_factory=list)
    receipts: set[str] = field(default_factory=set)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def open_stream(self, attempt_id: UUID, call_sid: str) -> str:
        token = uuid4().hex
        self.tokens[token] = attempt_id
        return token

    async def redeem(self, token: str, now: datetime) -> Granted | None:
        attempt_id = self.tokens.pop(token, None)
        return Granted(attempt_id) if attempt_id is not None else None

    async def expected_call_sid(self, attempt_id: UUID) -> str | None:
        return None

    async def handle_call(self, stream: MediaStream) -> None:
        self.held.append(stream.attempt_id)
        await asyncio.sleep(0.1)

    async def after_stream(self, attempt_id: UUID) -> Literal["hang_up", "reconnect"]:
        step, self.next_step = self.next_step, "hang_up"
        return step

    async def report_progress(self, progress: CallProgress) -> None:
        self.progress.append(progress)
        if progress.status is not None and progress.status.terminal:
            self.over.set()

    async def answer_inbound(self, phone: str, call_sid: str) -> UUID | None:
        return self.callers.get(phone)

    async def receive_once(self, receipt: str) -> bool:
        first = receipt not in self.receipts
        self.receipts.add(receipt)
        return first

    async def received(self, receipt: str) -> bool:
        return receipt in self.receipts

    def statuses(self) -> list[CallStatus]:
        known = [each for each in self.progress if each.status is not None and each.sequence is not None]
        return [each.status for each in sorted(known, key=lambda each: each.sequence or 0) if each.status]


@dataclass(frozen=True)
class Network:
    exchange: Exchange
    program: Program
    dialer: TwilioDialer
    counters: WebhookCounters

    async def call(self, to: str = ANNA) -> tuple[UUID, str]:
        attempt_id = uuid4()
        return attempt_id, await self.dialer.place(DialRequest(attempt_id, to, ring_s=30, longest_s=60))


@asynccontextmanager
async def network(plan: Plan, program: Program | None = None) -> AsyncIterator[Network]:
    program, counters = program or Program(), WebhookCounters()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        exchange = Exchange(plan.model_copy(update={"inbound_url": f"{base}/telephony/inbound"}))
        async with running_exchange(exchange) as api_url:
            settings = Settings(
                public_url=base,
                twilio_account_sid=ACCOUNT_SID,
                twilio_auth_token=SecretStr(AUTH_TOKEN),
                twilio_number=OUR_NUMBER,
                twilio_api_url=api_url,
            )
            ports = TelephonyPorts(
                redeem=program.redeem,
                expected_call_sid=program.expected_call_sid,
                handle_call=program.handle_call,
                open_stream=program.open_stream,
                after_stream=program.after_stream,
                report_progress=program.report_progress,
                answer_inbound=program.answer_inbound,
                receive_once=program.receive_once,
                received=program.received,
            )
            app = FastAPI()
            app.include_router(telephony_router(ports, settings, webhook_counters=counters))
            config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws_max_size=WS_MAX_SIZE)
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve([listening]))
            try:
                async with asyncio.timeout(20):
                    yield Network(exchange, program, TwilioDialer(settings), counters)
            finally:
                server.should_exit = True
                await serving


def answered(answer: Answer = Answer.PERSON, **how: float) -> Plan:
    pickup = Pickup.model_validate({"answer": answer, "rings_s": 1.0} | how)
    return Plan(lines={ANNA: Line(calls=[pickup])}, calls_per_second=100, detection_s=0.1, time_scale=0.1)


async def test_a_call_is_placed_reported_held_and_hung_up() -> None:
    async with network(answered()) as net:
        attempt_id, call_sid = await net.call()
        await net.program.over.wait()
        assert net.program.held == [attempt_id]
        assert net.program.statuses() == [
            CallStatus.INITIATED,
            CallStatus.RINGING,
            CallStatus.IN_PROGRESS,
            CallStatus.COMPLETED,
        ]
        assert {each.attempt_id for each in net.program.progress} == {attempt_id}
        assert (await net.dialer.look(attempt_id, call_sid)).status is CallStatus.COMPLETED
        assert net.counters.snapshot() == {}


async def test_a_stream_is_taken_up_again_with_a_token_of_its_own() -> None:
    async with network(answered(), Program(next_step="reconnect")) as net:
        attempt_id, _ = await net.call()
        await net.program.over.wait()
        assert net.program.held == [attempt_id, attempt_id]
        assert net.counters.snapshot() == {}


@pytest.mark.parametrize(
    ("answer", "status", "failure"),
    [
        (Answer.BUSY, CallStatus.BUSY, None),
        (Answer.FAILED, CallStatus.FAILED, CallFailure.CARRIER),
    ],
)
async def test_a_call_that_nobody_takes_says_why(
    answer: Answer, status: CallStatus, failure: CallFailure | None
) -> None:
    async with network(answered(answer)) as net:
        attempt_id, call_sid = await net.call()
        await net.program.over.wait()
        assert net.program.statuses()[-1] is status
        assert net.program.progress[-1].failure is failure
        looked = await net.dialer.look(attempt_id, call_sid)
        assert (looked.status, looked.failure) == (status, failure)


async def test_a_number_that_does_not_exist_is_refused() -> None:
    async with network(answered(Answer.INVALID)) as net:
        with pytest.raises(DialRefused) as refused:
            await net.call()
        assert refused.value.failure is CallFailure.BAD_NUMBER


async def test_a_call_whose_answer_was_cut_off_is_found_even_in_the_queue() -> None:
    plan = answered().model_copy(update={"faults": Faults(cut=1.0), "calls_per_second": 0.5})
    async with network(plan) as net:
        began = datetime.now(UTC)
        for _ in range(2):
            with pytest.raises(DialUnknown):
                await net.call()
        found = await net.dialer.find(ANNA, began)
        assert {placed.call_sid for placed in found} == set(net.exchange.calls)
        assert len(found) == 2
        assert [placed.created_at for placed in found] == sorted(placed.created_at for placed in found)


async def test_a_ringing_call_can_be_hung_up_and_hung_up_again() -> None:
    async with network(answered(rings_s=100.0)) as net:
        _, call_sid = await net.call()
        while CallStatus.RINGING not in net.program.statuses():
            await asyncio.sleep(0.02)
        for _ in range(2):
            await net.dialer.hang_up(call_sid)
        await net.program.over.wait()
        assert net.program.held == []


async def test_a_machine_is_told_apart_and_takes_a_message() -> None:
    class Patient(Program):
        async def handle_call(self, stream: MediaStream) -> None:
            await asyncio.sleep(1.0)

    async with network(answered(Answer.MACHINE), Patient()) as net:
        _, call_sid = await net.call()
        while not any(each.answered_by for each in net.program.progress):
            await asyncio.sleep(0.02)
        assert any(each.answered_by and each.answered_by.machine for each in net.program.progress)
        await net.dialer.leave_message(call_sid, "We called you. Please call us back.", Language.ENGLISH)
        await net.program.over.wait()
        assert net.program.statuses()[-1] is CallStatus.COMPLETED


async def test_callbacks_that_come_twice_and_late_are_known_again() -> None:
    faults = Faults(doubled=1.0, late=0.5, late_s=0.3)
    async with network(answered().model_copy(update={"faults": faults})) as net:
        await net.call()
        await net.program.over.wait()
        await asyncio.sleep(0.8)
        assert net.counters.snapshot()["repeated"] > 0


async def test_a_person_who_rings_us_is_held_and_a_stranger_hears_one_line() -> None:
    attempt_id = uuid4()
    async with network(answered(), Program(callers={ANNA: attempt_id})) as net:
        for number in (ANNA, "+15550100009"):
            call_sid = net.exchange.ring(number)
            while net.exchange.calls[call_sid].record.ended_at is None:
                await asyncio.sleep(0.02)
        assert net.program.held == [attempt_id]
        assert net.counters.snapshot() == {}
