"""The port that every language model stands behind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat prompt."""

    role: Literal["system", "user", "assistant"]
    content: str


class LanguageModel(Protocol):
    """Completes chat prompts. It has no tools and no side effects; what it returns is untrusted."""

    @property
    def name(self) -> str: ...

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        deadline_s: float,
        max_tokens: int = 64,
        schema: Mapping[str, Any] | None = None,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
    ) -> str:
        """The reply's text; with a schema, JSON text that validates against it.

        Raises DeadlineExceeded when the reply is not whole within deadline_s seconds (what runs is then cancelled), and
        LanguageModelError when the model fails. Cancelling the awaiting task stops the work.
        """
        ...

    async def warm(self, messages: Sequence[Message]) -> None:
        """Evaluates a prompt prefix ahead of time, so that a prompt that begins with it answers sooner. Best effort."""
        ...

    async def close(self) -> None: ...
