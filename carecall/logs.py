"""One logger for us and for the libraries: text for a terminal, JSON lines for a collector, nothing that was said.

Last defence: telephone numbers, e-mail addresses and credentials in URLs are masked in every line, whoever wrote it.
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from loguru import logger as pipecat_logger

from carecall.settings import LogFormat

if TYPE_CHECKING:
    from loguru import Message

_LONGEST = 16_384  # characters of a line; what is longer is cut

# At INFO these write requests with numbers and tokens, one-time tokens of streams, or the arguments of workflows.
_QUIET = ("twilio", "uvicorn.error", "httpx", "httpcore", "alembic", "dbos", "websockets", "openai", "urllib3")

_QUOTED = re.compile(r"\[[^\]]*\]|'[^']{12,}'|\"[^\"]{12,}\"")
_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]{1,256}@")
_NUMBER = re.compile(
    r"(?:\+|%2B)[1-9](?:[ ().-]{0,2}\d){6,14}\d*"  # E.164, spelt with spaces or hyphens too
    r"|(?<![A-Za-z0-9_.:+-])(?:"
    r"(?:00)?82[ -]?0?\d{1,2}[ -]?\d{3,4}[ -]?\d{4}"  # Korea, without the plus
    r"|0\d{1,2}[ .-]?\d{3,4}[ .-]?\d{4}"  # inside Korea
    r"|1[ .-]?[2-9]\d{2}[ .-]?[2-9]\d{2}[ .-]?\d{4}"  # North America, without the plus
    r"|(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])[2-9]\d{2}[ .-]\d{4}"  # inside North America
    r")(?![A-Za-z0-9_-])"
)


def masked(text: str) -> str:
    """The text without telephone numbers, e-mail addresses and credentials of URLs."""
    if "@" in text:
        text = _EMAIL.sub("[e-mail]", _CREDENTIALS.sub("[…]@", text))
    return _NUMBER.sub("[number]", text)


class _Text(logging.Formatter):
    """``TIME LEVEL LOGGER: MESSAGE``, and the traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        attempt = _attempt(record)
        head = f"{_time(record).astimezone():%Y-%m-%d %H:%M:%S} {record.levelname} {record.name}:"
        line = f"{head} {_message(record)}" + (f" (attempt {attempt})" if attempt else "")
        return masked("\n".join([line, *_trace(self, record)])[:_LONGEST])


class _Json(logging.Formatter):
    """One object a line: time level logger message, and attempt and exception when there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": masked(_message(record)[:_LONGEST]),
        }
        if attempt := _attempt(record):
            line["attempt"] = attempt
        if trace := "\n".join(_trace(self, record)):
            line["exception"] = masked(trace[-_LONGEST:])
        return json.dumps(line, ensure_ascii=False)


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _attempt(record: logging.LogRecord) -> str:
    return str(getattr(record, "attempt_id", None) or "")


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        return f"{record.msg} (its arguments do not fit)"


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    trace = [formatter.formatException(record.exc_info)] if record.exc_info else []
    return trace + ([record.stack_info] if record.stack_info else [])


def configure(level: str = "INFO", log_format: LogFormat = LogFormat.AUTO) -> None:
    """Log to stderr. Give a record ``extra={"attempt_id": …}`` where it is about a call.

    pipecat logs what is spoken and heard: its messages below WARNING are dropped, others trimmed.
    """
    as_text = log_format is LogFormat.TEXT or (log_format is LogFormat.AUTO and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Text() if as_text else _Json())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):  # a server that was set up by itself writes past us
        server = logging.getLogger(name)
        server.handlers.clear()
        server.propagate = True
    dbos = logging.getLogger("dbos")  # it gives itself a handler unless it has one
    dbos.handlers[:] = [handler]
    dbos.propagate = False
    pipecat_logger.remove()
    pipecat_logger.add(_forward, level="WARNING", format="{message}", backtrace=False, diagnose=False)


def _forward(message: "Message") -> None:
    record = message.record
    first_line = record["message"].partition("\n")[0]
    text = _QUOTED.sub("[…]", first_line)
    logging.getLogger(record["name"] or "pipecat").log(record["level"].no, "%s", text)
