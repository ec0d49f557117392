"""The telephony routes, for the composition root to mount."""

from dataclasses import dataclass

from fastapi import APIRouter

from carecall.settings import Settings
from telephony.addresses import STREAM
from telephony.admission import Admission, ExpectedCallSid, Gate, Redeem
from telephony.counters import StreamCounters
from telephony.media_stream import HandleCall, MediaStreamEndpoint, StreamDeadlines
from telephony.webhooks import AfterStream, OpenStream, ReportProgress, add_webhooks
from telephony.wire import MAX_FRAME_BYTES

WS_MAX_SIZE = MAX_FRAME_BYTES  # for uvicorn's ws_max_size


@dataclass(frozen=True, slots=True)
class TelephonyPorts:
    """What the telephony rooms ask of the rest of the program."""

    redeem: Redeem
    expected_call_sid: ExpectedCallSid
    handle_call: HandleCall
    open_stream: OpenStream
    after_stream: AfterStream
    report_progress: ReportProgress


def telephony_router(
    ports: TelephonyPorts,
    settings: Settings,
    *,
    counters: StreamCounters | None = None,
    deadlines: StreamDeadlines | None = None,
    gate: Gate | None = None,
) -> APIRouter:
    """The routes under ``/telephony``. Keep ``counters`` to read what happened, and ``gate`` to drain the server."""
    router = APIRouter(include_in_schema=False)
    endpoint = MediaStreamEndpoint(
        Admission(settings, ports.redeem, ports.expected_call_sid, gate or Gate(settings.max_calls)),
        ports.handle_call,
        counters or StreamCounters(),
        deadlines or StreamDeadlines(),
    )
    router.add_api_websocket_route(STREAM, endpoint.__call__)
    add_webhooks(router, settings, ports.open_stream, ports.after_stream, ports.report_progress)
    return router
