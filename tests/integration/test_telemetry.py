"""Telemetry against a collector on loopback that reads OTLP's protobuf; each program in a process of its own."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from carecall import __version__

PROGRAM = """
import sys, time
from opentelemetry import metrics, trace
counter = metrics.get_meter("carecall.outreach").create_counter("carecall.attempts")
from carecall import telemetry
from carecall.settings import Settings
end = telemetry.configure(Settings(otlp_url=sys.argv[1], worker_name="ward-3", otlp_trace_share=float(sys.argv[2])))
metrics.get_meter("telephony").create_histogram("carecall.turn_latency", "s").record(0.6)
counter.add(2, {"outcome": "no_answer", "name": "Mina Park"})
metrics.get_meter("pipecat").create_counter("pipecat.tokens").add(5)
try:
    with trace.get_tracer("carecall.outreach").start_as_current_span("place") as span:
        span.set_attributes({"attempt_id": "a1", "phone": "+821012345678"})
        span.add_event("said", {"text": "my chest hurts"})
        raise ValueError("+821012345678")
except ValueError:
    pass
with trace.get_tracer("pipecat.turn").start_as_current_span("turn") as span:
    span.set_attribute("transcript", "my chest hurts")
with trace.get_tracer("dbos-tracer").start_as_current_span("workflow"):
    pass
begun = time.monotonic()
end()
print(round(time.monotonic() - begun, 2))
"""


@dataclass
class Collector:
    """What was exported, or a collector that takes its time."""

    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)
    traces: list[ExportTraceServiceRequest] = field(default_factory=list)
    hang_s: float = 0.0
    url: str = ""


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            time.sleep(collector.hang_s)
            if self.path == "/v1/metrics":
                collector.metrics.append(ExportMetricsServiceRequest.FromString(body))
            elif self.path == "/v1/traces":
                collector.traces.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200 if self.path in ("/v1/metrics", "/v1/traces") else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield collector
    server.shutdown()
    thread.join()
    server.server_close()


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=True
    )


def test_what_was_counted_arrives_with_the_instance_and_allowed_attributes_only(collector: Collector) -> None:
    run(PROGRAM, collector.url + "/", "1")
    (request,) = collector.metrics
    (resource,) = request.resource_metrics
    about = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert (about["service.name"], about["service.version"]) == ("carecall", __version__)
    assert about["service.instance.id"].startswith("ward-3:")
    latency, metric = sorted(
        (metric for scope in resource.scope_metrics for metric in scope.metrics),
        key=lambda each: each.name,
        reverse=True,
    )
    assert latency.name == "carecall.turn_latency"
    assert {0.5, 1.0, 1.5} < set(latency.histogram.data_points[0].explicit_bounds)
    (point,) = metric.sum.data_points
    assert (metric.name, point.as_int) == ("carecall.attempts", 2)
    assert {each.key: each.value.string_value for each in point.attributes} == {"outcome": "no_answer"}


def test_a_span_carries_no_words_and_those_of_libraries_are_not_exported(collector: Collector) -> None:
    run(PROGRAM, collector.url, "1")
    (request,) = collector.traces
    (span,) = [span for each in request.resource_spans for scope in each.scope_spans for span in scope.spans]
    assert (span.name, span.status.code, span.status.message) == ("place", 2, "")
    assert {each.key: each.value.string_value for each in span.attributes} == {"attempt_id": "a1"}
    assert not span.events
    sent = request.SerializeToString() + b"".join(each.SerializeToString() for each in collector.metrics)
    for words in (b"chest", b"8210", b"Mina"):
        assert words not in sent


def test_traces_are_sampled_by_their_share(collector: Collector) -> None:
    run(PROGRAM, collector.url, "0")
    assert collector.traces == []
    assert len(collector.metrics) == 1


def test_a_collector_that_hangs_or_is_away_holds_up_the_end_for_five_seconds_at_most(collector: Collector) -> None:
    collector.hang_s = 8.0
    hung = run(PROGRAM, collector.url, "1")
    assert float(hung.stdout) <= 5.2
    away = run(PROGRAM, "http://127.0.0.1:9", "1")
    assert float(away.stdout) <= 5.2
    assert away.stderr.count("takes no metrics") == away.stderr.count("takes no traces") == 1
    assert len(away.stderr.splitlines()) == 2


def test_without_a_collector_nothing_is_loaded_and_nothing_costs() -> None:
    done = run(
        """
import sys
from carecall import telemetry
from carecall.settings import Settings
telemetry.configure(Settings())()
assert not [name for name in sys.modules if name.startswith("opentelemetry.sdk")], "loaded"
"""
    )
    assert done.stderr == ""


def test_a_missing_exporter_is_one_clear_line() -> None:
    done = run(
        """
import sys
from carecall import telemetry
from carecall.errors import SettingsError
from carecall.settings import Settings
sys.modules["opentelemetry.exporter"] = None
try:
    telemetry.configure(Settings(otlp_url="http://127.0.0.1:4318"))
except SettingsError as error:
    print(error)
"""
    )
    assert done.stdout == "CARECALL_OTLP_URL needs the exporter: pip install 'carecall[otel]', or unset it.\n"
