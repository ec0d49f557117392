"""How far a long run is."""

import logging
import sys
import time

import typer
from loguru import logger


def hush() -> None:
    """From now on the libraries of a run say only what has failed."""
    logger.disable("pipecat")
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # an answer that is cut off is meant


class Progress:
    """One line that is written over on a terminal, and a line every quarter of a minute elsewhere."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def show(self, text: str) -> None:
        minutes, seconds = divmod(round(self.seconds), 60)
        line = f"{minutes:3}:{seconds:02}  {text}"
        if sys.stderr.isatty():
            typer.echo(f"\r{line:<78}", nl=False, err=True)
        elif time.monotonic() - self._last >= 15:
            self._last = time.monotonic()
            typer.echo(line, err=True)

    def end(self) -> None:
        if sys.stderr.isatty():
            typer.echo(err=True)
