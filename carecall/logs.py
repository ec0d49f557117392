"""One logger: what the libraries say goes through the standard logging too, and nothing that was said gets into it."""

import logging
import re
import sys
from typing import TYPE_CHECKING

from loguru import logger as pipecat_logger

if TYPE_CHECKING:
    from loguru import Message

_QUOTED = re.compile(r"\[[^\]]*\]|'[^']{12,}'|\"[^\"]{12,}\"")


def configure(level: str = "INFO") -> None:
    """Log to stderr. pipecat logs what is spoken and heard: its messages below WARNING are dropped, others trimmed."""
    logging.basicConfig(
        level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # at INFO it logs the one-time tokens of streams
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    pipecat_logger.remove()
    pipecat_logger.add(_forward, level="WARNING", format="{message}", backtrace=False, diagnose=False)


def _forward(message: "Message") -> None:
    record = message.record
    text = _QUOTED.sub("[…]", record["message"].splitlines()[0])
    logging.getLogger(record["name"] or "pipecat").log(record["level"].no, "%s", text)
