"""Requests to forget: what in a reply asks that something is not remembered."""

import re

from carecall.domain.language import Language
from carecall.memory.vocabulary import vocabulary_for

_MOST_READ = 2000  # characters of a reply that are looked at


def forget_request(reply: str, language: Language) -> re.Match[str] | None:
    """The words that ask to forget something, with what they name; None when nothing is asked. Safe for any text."""
    return vocabulary_for(language).forget.search(_read(reply))


def without_request(reply: str, language: Language) -> str:
    """What the reply says beside a request to forget."""
    request = forget_request(reply, language)
    if request is None:
        return reply
    rest = _read(reply)[: request.start("ask")] + " " + reply[request.end("ask") :]
    return rest.strip(" \t.,;!?") if re.search(r"\w", rest) else ""


def _read(reply: str) -> str:
    return reply[:_MOST_READ].replace("’", "'")
