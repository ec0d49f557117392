"""Metrics and traces for an OpenTelemetry collector, when CARECALL_OTLP_URL is set; otherwise they cost nothing."""

from collections.abc import Callable

from carecall.errors import SettingsError
from carecall.settings import Settings

METRIC_ATTRIBUTES = frozenset({"channel", "language", "outcome", "reason"})
"""What a metric may be told apart by. The values are words of closed sets, never an id, a name or a number."""

SPAN_ATTRIBUTES = METRIC_ATTRIBUTES | {"attempt_id"}
"""A span may also say to which attempt it belongs: a random id, of use only to those who may look it up."""


def configure(settings: Settings) -> Callable[[], None]:
    """Begin to export. Gives what ends it: the last values are sent, for at most five seconds. Once a process.

    Only instruments and spans of carecall and telephony are exported, with the attributes above and no others.
    Raises SettingsError when the exporter is not installed.
    """
    if not settings.otlp_url:
        return _nothing
    try:
        from carecall import otlp
    except ModuleNotFoundError:
        line = "CARECALL_OTLP_URL needs the exporter: pip install 'carecall[otel]', or unset it."
        raise SettingsError(line) from None
    return otlp.export(settings, METRIC_ATTRIBUTES, SPAN_ATTRIBUTES)


def _nothing() -> None:
    """Nothing was begun."""
