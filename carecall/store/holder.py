"""Which process holds a live call, and whether that process is still there.

A holder is ``host boot pid start serial``: the pid alone may be given to another process, and a container keeps pid 1.
"""

import itertools
import os
import platform
from pathlib import Path

_PROC = Path("/proc")
_serials = itertools.count(1)
_open: set[str] = set()


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return "-"


def _started(pid: int) -> str:
    """Start of the process in clock ticks since boot (proc(5), stat, field 22); '-' where there is no /proc."""
    stat = _read(_PROC / str(pid) / "stat")
    return stat if stat == "-" else stat.rpartition(")")[2].split()[19]


def enter() -> str:
    """A new holder in this process, alive until it leaves."""
    boot = _read(_PROC / "sys/kernel/random/boot_id")
    pid = os.getpid()
    holder = f"{platform.node() or '-'} {boot} {pid} {_started(pid)} {next(_serials)}"
    _open.add(holder)
    return holder


def leave(holder: str) -> None:
    _open.discard(holder)


def alive(holder: str) -> bool | None:
    """Whether the holder is there. None: it runs on another host and cannot be seen from here."""
    if holder in _open:
        return True
    match holder.split(" "):
        case [host, boot, pid, started, _]:
            if host != (platform.node() or "-"):
                return None
            if boot != _read(_PROC / "sys/kernel/random/boot_id") or int(pid) == os.getpid():
                return False
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                return False
            except PermissionError:
                pass
            return _started(int(pid)) == started
        case _:
            return False
