"""What is counted of media streams and webhooks: snapshots of this process, and OpenTelemetry counters."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from opentelemetry.metrics import get_meter

from telephony.wire import Violation


@dataclass(frozen=True, slots=True)
class StreamCounts:
    """Since the server began; refusals and violations by their stable word."""

    open: int
    accepted: int
    refused: Mapping[str, int]
    violations: Mapping[str, int]
    unknown_events: int
    failed_calls: int


class StreamCounters:
    """Counts in one event loop."""

    def __init__(self) -> None:
        meter = get_meter("carecall.telephony")
        self._accepted_metric = meter.create_counter("carecall.streams.accepted", description="Media streams admitted")
        self._refused_metric = meter.create_counter("carecall.streams.refused", description="Media streams refused")
        self._violations_metric = meter.create_counter(
            "carecall.streams.violations", description="Media streams that broke the protocol"
        )
        self._open = self._accepted = self._unknown_events = self._failed_calls = 0
        self._refused: Counter[str] = Counter()
        self._violations: Counter[str] = Counter()

    def snapshot(self) -> StreamCounts:
        return StreamCounts(
            open=self._open,
            accepted=self._accepted,
            refused=MappingProxyType(dict(self._refused)),
            violations=MappingProxyType(dict(self._violations)),
            unknown_events=self._unknown_events,
            failed_calls=self._failed_calls,
        )

    def accepted(self) -> None:
        self._open += 1
        self._accepted += 1
        self._accepted_metric.add(1)

    def ended(self) -> None:
        self._open -= 1

    def refused(self, reason: str) -> None:
        self._refused[reason] += 1
        self._refused_metric.add(1, {"reason": reason})

    def violation(self, violation: Violation) -> None:
        self._violations[violation.value] += 1
        self._violations_metric.add(1, {"reason": violation.value})

    def unknown_event(self) -> None:
        self._unknown_events += 1

    def failed_call(self) -> None:
        self._failed_calls += 1


class WebhookCounters:
    """Counts in one event loop."""

    def __init__(self) -> None:
        self._metric = get_meter("carecall.telephony").create_counter(
            "carecall.webhooks.refused", description="Webhooks that nothing was done for"
        )
        self._refused: Counter[str] = Counter()

    def snapshot(self) -> Mapping[str, int]:
        """Since the server began, by the stable word of the reason."""
        return MappingProxyType(dict(self._refused))

    def refused(self, reason: str) -> None:
        self._refused[reason] += 1
        self._metric.add(1, {"reason": reason})
