"""The one Korean morphological analyser of the program: it is slow to load and large, so all rooms share it."""

import threading
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kiwipiepy import Kiwi

ANALYSING = threading.Lock()  # held while the analyser works
_LOADING = threading.Lock()


def analyser() -> "Kiwi":
    """The analyser, loaded at the first call. Safe to call from several threads."""
    with _LOADING:
        return _load()


@cache
def _load() -> "Kiwi":
    from kiwipiepy import Kiwi

    return Kiwi(num_workers=1)
