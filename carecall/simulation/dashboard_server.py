"""The dashboard alone on loopback, as the program serves it, without telephone, voice and models.

``python -m carecall.simulation.dashboard_server --database URL --port 8090`` shows a database that dashboard_seed has
made. Its clock goes on from the moment that the database was seeded for (``--behind`` says by how many seconds it is
behind), so that the day in it is today.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from carecall.dashboard.router import add_dashboard
from carecall.errors import SimulationError
from carecall.settings import settings
from carecall.simulation.fleet import free_port
from carecall.store.facade import Store

_READY_WITHIN_S = 60.0
SECRET = "a key for databases that are made to be looked at"


def clock(behind: timedelta) -> Callable[[], datetime]:
    """A clock that goes as fast as the machine's."""
    return lambda: datetime.now(UTC) - behind


def dashboard_app(url: str, behind: timedelta, data_dir: Path) -> FastAPI:
    """The application with the dashboard's routes only."""
    effective = settings().model_copy(
        update={"database_url": url, "secret_key": SecretStr(SECRET), "data_dir": data_dir}
    )
    app = FastAPI(docs_url=None, redoc_url=None)
    add_dashboard(app, effective, Store.open(url, secret=SECRET, clock=clock(behind)))
    return app


@contextmanager
def running_dashboard(url: str, behind: timedelta, folder: Path) -> Iterator[str]:
    """Serves it in a process of its own; gives its address. What it says is in ``folder/dashboard.log``."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = ["--database", url, "--behind", str(behind.total_seconds()), "--port", str(port), "--data", str(folder)]
    log = folder / "dashboard.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        _wait(process, base, log)
        yield base
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", base: str, log: Path) -> None:
    until = time.monotonic() + _READY_WITHIN_S
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < until and process.poll() is None:
            try:
                client.get(f"{base}/sign-in", timeout=2)
                return
            except httpx.HTTPError:
                time.sleep(0.1)
    last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
    raise SimulationError(f"The dashboard did not come up: {last[0]}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="dashboard_server", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--database", required=True, metavar="URL")
    parser.add_argument("--behind", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--data", type=Path, default=Path("build") / "dashboard", help="folder of recordings")
    given = parser.parse_args()
    app = dashboard_app(given.database, timedelta(seconds=given.behind), given.data)
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="warning", timeout_graceful_shutdown=2)


if __name__ == "__main__":
    main()
