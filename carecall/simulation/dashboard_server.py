"""The dashboard alone on loopback, as the program serves it, without telephone, voice and models.

``python -m carecall.simulation.dashboard_server --database URL --port 8090`` shows a database that dashboard_seed has
made. Its clock goes on from the moment that the database was seeded for (``--behind`` says by how many seconds it is
behind), so that the day in it is today.
"""

import argparse
import gc
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from carecall.dashboard.router import Ports, add_dashboard
from carecall.dashboard.talk import TalkRefused, TalkTrouble
from carecall.domain.viewer import Viewer
from carecall.errors import SimulationError
from carecall.settings import settings
from carecall.simulation.dashboard_seed import SECRET
from carecall.simulation.fleet import free_port
from carecall.store.facade import Store

_READY_WITHIN_S = 60.0


def clock(behind: timedelta) -> Callable[[], datetime]:
    """A clock that goes as fast as the machine's."""
    return lambda: datetime.now(UTC) - behind


def dashboard_app(url: str, behind: timedelta, data_dir: Path) -> FastAPI:
    """The application with the dashboard's routes only."""
    secret = settings().secret_key.get_secret_value() or SECRET
    effective = settings().model_copy(
        update={"database_url": url, "secret_key": SecretStr(secret), "data_dir": data_dir}
    )
    app = FastAPI(docs_url=None, redoc_url=None)
    add_dashboard(app, effective, Store.open(url, secret=secret, clock=clock(behind)), Ports(talk=_no_line))
    return app


async def _no_line(viewer: Viewer, dialog: str, name: str, sdp: str) -> tuple[UUID, str]:
    """The page of test calls is there, but nobody to speak."""
    raise TalkRefused(TalkTrouble.FULL)


class DashboardProcess:
    """The dashboard in a process of its own at ``base``. What it says is in ``folder/dashboard.log``."""

    def __init__(self, url: str, behind: timedelta, folder: Path) -> None:
        port = free_port()
        self.base = f"http://127.0.0.1:{port}"
        self._command = [sys.executable, "-m", __spec__.name, "--database", url, "--port", str(port)]
        self._command += ["--behind", str(behind.total_seconds()), "--data", str(folder)]
        self._log = folder / "dashboard.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Waits until it answers. Raises SimulationError with its last words when it does not come up."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        until = time.monotonic() + _READY_WITHIN_S
        with httpx.Client(trust_env=False) as client:
            while time.monotonic() < until and self._process.poll() is None:
                try:
                    client.get(f"{self.base}/sign-in", timeout=2)
                    return
                except httpx.HTTPError:
                    time.sleep(0.1)
        last = self._log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise SimulationError(f"The dashboard did not come up: {last[0]}")

    def stop(self) -> None:
        """As when the machine loses power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running_dashboard(url: str, behind: timedelta, folder: Path) -> Iterator[DashboardProcess]:
    process = DashboardProcess(url, behind, folder)
    try:
        process.start()
        yield process
    finally:
        process.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="dashboard_server", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--database", required=True, metavar="URL")
    parser.add_argument("--behind", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--data", type=Path, default=Path("build") / "dashboard", help="folder of recordings")
    given = parser.parse_args()
    app = dashboard_app(given.database, timedelta(seconds=given.behind), given.data)
    gc.collect()
    gc.freeze()  # as ``carecall serve`` does
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="warning", timeout_graceful_shutdown=2)


if __name__ == "__main__":
    main()
