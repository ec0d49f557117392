"""Starts the real server in a process of its own, for calls that are simulated by voice."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from carecall.errors import SimulationError
from carecall.settings import Settings
from carecall.simulation.fleet import free_port

_START_WITHIN_S = 120.0
_STOP_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that answers. ``settings`` are its own, with the port it listens on."""

    settings: Settings
    log: Path
    process: "subprocess.Popen[bytes]"

    def phrases_missing(self) -> int | None:
        """Fixed lines whose audio is still to be rendered; None while they are being counted."""
        answer = httpx.get(f"{_base(self.settings)}/health/ready", timeout=10).json()
        missing: int | None = answer["phrases_missing"]
        return missing


@contextmanager
def running_server(
    settings: Settings, *, waiting: Callable[[], None] = lambda: None, **environment: str
) -> Iterator[RunningServer]:
    """A server on a free loopback port with these settings; ``waiting`` is called while it loads its models.

    Raises SimulationError with the server's last words when it does not come up.
    """
    settings = settings.model_copy(update={"host": "127.0.0.1", "port": free_port()})
    with tempfile.NamedTemporaryFile("w+", prefix="carecall-server-", suffix=".log", delete=False) as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "carecall", "serve", "--port", str(settings.port)],
            env={
                **os.environ,
                "CARECALL_HOST": settings.host,
                "CARECALL_DATA_DIR": str(settings.data_dir),
                "CARECALL_DATABASE_URL": settings.database_url,
                "CARECALL_RECORD_CALLS": str(settings.record_calls).lower(),
                "CARECALL_LLM": settings.llm,
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            _wait_until_ready(process, settings, Path(log.name), waiting)
            yield RunningServer(settings, Path(log.name), process)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(
    process: subprocess.Popen[bytes], settings: Settings, log: Path, waiting: Callable[[], None]
) -> None:
    deadline = time.monotonic() + _START_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            last = log.read_text().strip().splitlines()[-1:] or ["it said nothing"]
            raise SimulationError(f"The server did not start: {last[0]} (log: {log})")
        try:
            if httpx.get(f"{_base(settings)}/health/ready", timeout=1).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass
        waiting()
        time.sleep(0.1)
    raise SimulationError(f"The server was not ready within {_START_WITHIN_S:g} s (log: {log}).")


def _base(settings: Settings) -> str:
    return f"http://{settings.host}:{settings.port}"
