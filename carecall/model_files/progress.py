"""How far a fetch has come: one bar on a terminal, a line at every tenth elsewhere, nothing when not wanted."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn


class FetchProgress:
    """Bytes done of one model, reported from several sources at once."""

    def __init__(self, title: str, total: int, *, shown: bool) -> None:
        self._title = title
        self._total = total
        self._shown = shown
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.fields[title]}"),
            BarColumn(bar_width=20),
            DownloadColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=self._console,
            disable=not (shown and self._console.is_terminal),
        )
        self._task = self._bar.add_task("", total=total, title=title)
        self._done: dict[str, int] = {}
        self._tenth = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._print("fetching")
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def doing(self, what: str) -> None:
        self._bar.update(self._task, description=what)

    def reached(self, source: str, done: int) -> None:
        """Source has delivered so many bytes in all; it never goes back."""
        with self._lock:
            self._done[source] = max(done, self._done.get(source, 0))
            total = min(sum(self._done.values()), self._total)
            self._bar.update(self._task, completed=total)
            tenth = total * 10 // max(self._total, 1)
            if tenth > self._tenth:
                self._print(f"{tenth * 10} % of")
            self._tenth = max(tenth, self._tenth)

    def _print(self, how_far: str) -> None:
        if self._shown and not self._console.is_terminal:
            line = f"{self._title}: {how_far} {self._total / 1e6:,.0f} MB"
            self._console.print(line, highlight=False, soft_wrap=True)

    @contextmanager
    def watching(self, folder: Path, source: str, at_most: int) -> Iterator[None]:
        """Reports the bytes under folder as delivered by source, for a tool that does not tell by itself."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.25):
                self.reached(source, min(_bytes_under(folder), at_most))

        watcher = threading.Thread(target=watch, name=f"watch {source}", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


def _bytes_under(folder: Path) -> int:
    total = 0
    with suppress(OSError):
        for path in folder.rglob("*"):
            with suppress(OSError):
                total += path.stat().st_size
    return total
