"""The telephony routes, for the composition root to mount."""

from fastapi import APIRouter

from carecall.settings import Settings
from telephony.addresses import STREAM
from telephony.admission import Admission, Gate
from telephony.counters import StreamCounters, WebhookCounters
from telephony.media_stream import MediaStreamEndpoint, StreamDeadlines
from telephony.ports import TelephonyPorts
from telephony.webhooks import Webhooks
from telephony.wire import MAX_FRAME_BYTES

__all__ = ["WS_MAX_SIZE", "TelephonyPorts", "telephony_router"]

WS_MAX_SIZE = MAX_FRAME_BYTES  # for uvicorn's ws_max_size


def telephony_router(
    ports: TelephonyPorts,
    settings: Settings,
    *,
    counters: StreamCounters | None = None,
    webhook_counters: WebhookCounters | None = None,
    deadlines: StreamDeadlines | None = None,
    gate: Gate | None = None,
) -> APIRouter:
    """The routes under ``/telephony``. Keep the counters to read what happened, and ``gate`` to drain the server."""
    router = APIRouter(include_in_schema=False)
    endpoint = MediaStreamEndpoint(
        Admission(settings, ports.redeem, ports.expected_call_sid, gate or Gate(settings.max_calls)),
        ports.handle_call,
        counters or StreamCounters(),
        deadlines or StreamDeadlines(),
    )
    router.add_api_websocket_route(STREAM, endpoint.__call__)
    Webhooks(settings, ports, webhook_counters or WebhookCounters()).add_to(router)
    return router
