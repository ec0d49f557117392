"""The exporter's side of telemetry: the OpenTelemetry SDK, OTLP over HTTP, held to what is ours and may be told."""

import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Status
from opentelemetry.util.types import Attributes

from carecall import __version__
from carecall.settings import Settings

logger = logging.getLogger(__name__)

EXPORT_EVERY_S = 15.0
_BOUNDARIES_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 5, 10, 30, 60, 300, 900, 3600)
_EXPORT_DEADLINE_S = 4.0
_SHUTDOWN_S = 5.0


def export(
    settings: Settings, metric_attributes: Collection[str], span_attributes: Collection[str]
) -> Callable[[], None]:
    """Begin to export metrics and traces. Gives what sends the rest and ends it."""
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)  # it has several lines for every try
    base = settings.otlp_url.rstrip("/")
    resource = Resource.create(
        {
            "service.name": "carecall",
            "service.version": __version__,
            "service.instance.id": f"{settings.worker_name or platform.node()}:{os.getpid()}",
        }
    )
    reader = PeriodicExportingMetricReader(
        _Metrics(
            f"{base}/v1/metrics",
            timeout=_EXPORT_DEADLINE_S,
            preferred_aggregation={Histogram: ExplicitBucketHistogramAggregation(_BOUNDARIES_S)},
        ),
        export_interval_millis=EXPORT_EVERY_S * 1000,
        export_timeout_millis=_EXPORT_DEADLINE_S * 1000,
    )
    meters = MeterProvider(
        [reader],
        resource,
        shutdown_on_exit=False,
        views=[View(instrument_name="*", attribute_keys=set(metric_attributes))],
    )
    tracers = TracerProvider(
        ParentBased(TraceIdRatioBased(settings.otlp_trace_share)), resource, shutdown_on_exit=False
    )
    spans = OTLPSpanExporter(f"{base}/v1/traces", timeout=_EXPORT_DEADLINE_S)
    tracers.add_span_processor(BatchSpanProcessor(_BareSpans(spans, span_attributes)))
    metrics.set_meter_provider(_OurMeters(meters))
    trace.set_tracer_provider(_OurTracers(tracers))

    def end() -> None:
        until = time.monotonic() + _SHUTDOWN_S
        ending = [threading.Thread(target=each.shutdown, daemon=True) for each in (meters, tracers)]
        for thread in ending:
            thread.start()
        for thread in ending:
            thread.join(max(0.0, until - time.monotonic()))
        if any(thread.is_alive() for thread in ending):
            logger.warning("the OpenTelemetry collector did not take the last values in time")

    return end


def _ours(scope: str) -> bool:
    return scope.partition(".")[0] in ("carecall", "telephony")


class _OurMeters(metrics.MeterProvider):
    """Meters for us; for libraries, ones that do nothing."""

    def __init__(self, meters: MeterProvider) -> None:
        self._meters = meters

    def get_meter(
        self, name: str, version: str | None = None, schema_url: str | None = None, attributes: Attributes = None
    ) -> metrics.Meter:
        return self._meters.get_meter(name, version, schema_url) if _ours(name) else metrics.NoOpMeter(name)


class _OurTracers(trace.TracerProvider):
    """Tracers for us; for libraries, ones that do nothing: pipecat's would carry what is said."""

    def __init__(self, tracers: TracerProvider) -> None:
        self._tracers = tracers

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> trace.Tracer:
        if not _ours(instrumenting_module_name):
            return trace.NoOpTracer()
        return self._tracers.get_tracer(instrumenting_module_name, instrumenting_library_version, schema_url)


class _Collector:
    """Says once that the collector takes nothing, and once that it does again."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._takes = True

    def answered(self, well: bool) -> None:
        if well is not self._takes:
            self._takes = well
            logger.warning("the OpenTelemetry collector takes %s%s", "" if well else "no ", self._what)


class _Metrics(OTLPMetricExporter):
    """Metrics, with an eye on the collector."""

    _collector = _Collector("metrics")

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **options: Any
    ) -> MetricExportResult:
        result = super().export(metrics_data, timeout_millis, **options)
        self._collector.answered(result is MetricExportResult.SUCCESS)
        return result


class _BareSpans(SpanExporter):
    """Spans without events and words of status, where the text of an exception stands, and with no other attributes."""

    def __init__(self, exporter: SpanExporter, attributes: Collection[str]) -> None:
        self._exporter = exporter
        self._attributes = attributes
        self._collector = _Collector("traces")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export([self._bare(span) for span in spans])
        self._collector.answered(result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)

    def _bare(self, span: ReadableSpan) -> ReadableSpan:
        return ReadableSpan(
            span.name,
            span.context,
            span.parent,
            span.resource,
            {name: value for name, value in (span.attributes or {}).items() if name in self._attributes},
            kind=span.kind,
            status=Status(span.status.status_code),
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )
