"""The real program as processes of its own, pointed at a telephone exchange for tests."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from carecall.errors import SimulationError
from carecall.simulation.exchange_plan import Plan

_READY_WITHIN_S = 180.0
_STOP_WITHIN_S = 30.0


def free_port() -> int:
    """A port of loopback on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Fleet:
    """Processes by name, with the settings that they share; each one's output is in ``folder/NAME.log``."""

    def __init__(self, folder: Path, port: int, environment: dict[str, str]) -> None:
        self.folder = folder
        self.base = f"http://127.0.0.1:{port}"
        self.port = port
        self._environment = {name: value for name, value in os.environ.items() if not _is_setting(name)} | environment
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._log_from: dict[str, int] = {}  # where in its log a process began

    def start(self, name: str, *command: str) -> "subprocess.Popen[bytes]":
        """Runs ``python -m`` with a module and its arguments, under a worker name of its own."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self._log_from[name] = log.tell()
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env={**self._environment, "CARECALL_WORKER_NAME": name},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for whoever runs the fleet
            )
        self._processes[name] = process
        return process

    def serve(self, name: str, command: str = "serve") -> "subprocess.Popen[bytes]":
        """Starts ``carecall serve`` or ``up`` on the fleet's port."""
        return self.start(name, "carecall", command, "--port", str(self.port))

    def kill(self, name: str) -> None:
        """As when the machine loses power: the process says nothing more."""
        process = self._processes[name]
        process.kill()
        process.wait()

    async def ready(self, name: str) -> None:
        """Waits until the server takes calls. Raises SimulationError with its last words when it does not come up."""
        async with httpx.AsyncClient(base_url=self.base, trust_env=False) as client:
            for _ in range(round(_READY_WITHIN_S / 0.2)):
                self.check(name)
                try:
                    if (await client.get("/health/ready", timeout=2)).status_code == httpx.codes.OK:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.2)
        raise SimulationError(f"{name} was not ready within {_READY_WITHIN_S:g} s (log: {self.folder / name}.log).")

    async def says(self, name: str, words: str, within_s: float) -> bool:
        """Waits until a process has written words to its log; False when it ends before, or does not in time."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            with (self.folder / f"{name}.log").open("rb") as log:
                log.seek(self._log_from[name])
                if words.encode() in log.read():
                    return True
            if self._processes[name].poll() is not None:
                return False
            await asyncio.sleep(0.05)
        return False

    def check(self, name: str) -> None:
        """Raises SimulationError with its last words when a process has ended by itself."""
        if self._processes[name].poll() is not None:
            log = self.folder / f"{name}.log"
            last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise SimulationError(f"{name} ended: {last[0]} (log: {log})")

    def stop(self) -> None:
        """Ends every process, in order where it can be."""
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            try:
                process.wait(_STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@asynccontextmanager
async def running_fleet(
    folder: Path, exchange_url: str, plan: Plan, port: int, **settings: str | float
) -> AsyncIterator[Fleet]:
    """A fleet that makes its calls through an exchange; ``settings`` are named as in carecall.settings."""
    shared: dict[str, str | float] = {
        "data_dir": str(folder),
        "public_url": f"http://127.0.0.1:{port}",
        "twilio_account_sid": plan.account_sid,
        "twilio_auth_token": plan.auth_token,
        "twilio_number": plan.numbers[0],
        "twilio_api_url": exchange_url,
        "llm": "none",
        **settings,
    }
    fleet = Fleet(folder, port, {f"CARECALL_{name.upper()}": str(value) for name, value in shared.items()})
    try:
        yield fleet
    finally:
        await asyncio.to_thread(fleet.stop)


def _is_setting(name: str) -> bool:
    return name.startswith("CARECALL_") and name != "CARECALL_MODELS_DIR"
