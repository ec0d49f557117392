"""A Postgres server that is there for one run: a cluster in a temporary folder, on loopback only.

``python -m carecall.simulation.throwaway_postgres VARIABLE COMMAND...`` runs a command with the URL in a variable.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from carecall.errors import SimulationError
from carecall.simulation.fleet import free_port

_USER = "postgres"


@contextmanager
def throwaway_postgres() -> Iterator[str]:
    """The SQLAlchemy URL of an empty database. Raises SimulationError where Postgres is not installed."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = programs[-1] if programs else Path(shutil.which("initdb") or "/nowhere/initdb").parent
    if not (found / "initdb").exists():
        raise SimulationError("Postgres is not installed: apt-get install postgresql.")
    with tempfile.TemporaryDirectory(prefix="carecall-postgres-") as name:
        folder, port = Path(name), free_port()
        if os.getuid() == 0:  # Postgres does not run as root
            try:
                user = pwd.getpwnam(_USER)
            except KeyError:
                raise SimulationError(f"Postgres does not run as root, and there is no user {_USER}.") from None
            os.chown(folder, user.pw_uid, user.pw_gid)
        cluster = folder / "cluster"
        _run(folder, found / "initdb", "-D", cluster, "-U", _USER, "--auth=trust", "--encoding=UTF8", "--locale=C")
        settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
        _run(folder, found / "pg_ctl", "-D", cluster, "-l", folder / "log", "-w", "-o", settings, "start")
        try:
            yield f"postgresql+psycopg://{_USER}@127.0.0.1:{port}/postgres"
        finally:
            _run(folder, found / "pg_ctl", "-D", cluster, "-m", "immediate", "stop")


def _run(folder: Path, *command: Path | str) -> None:
    """Raises SimulationError with the program's last words."""
    user = _USER if os.getuid() == 0 else None
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=folder,
            user=user,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SimulationError(f"{command[0]} took longer than two minutes.") from None
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise SimulationError(f"{command[0]} failed: {last[0]}")


def main() -> None:
    variable, *command = sys.argv[1:]
    with throwaway_postgres() as url:
        raise SystemExit(subprocess.run(command, env={**os.environ, variable: url}, check=False).returncode)


if __name__ == "__main__":
    main()
