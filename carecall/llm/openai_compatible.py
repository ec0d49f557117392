"""Language models behind an OpenAI-compatible server: vLLM, llama.cpp's server, or a hosted one."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx

from carecall.errors import DeadlineExceeded, LanguageModelError, SettingsError
from carecall.llm.port import Message
from carecall.llm.structured import checked

_LARGEST_REPLY = 256 * 1024  # bytes of a response's body
_WARM_DEADLINE_S = 10.0
_REJECTED = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.NOT_IMPLEMENTED}


class _Structure(StrEnum):
    """How a server is asked for JSON, the strictest first."""

    SCHEMA = "json_schema"
    OBJECT = "json_object"
    TEXT = "text"


class _Rejected(LanguageModelError):
    """The server does not take the request as it is."""


class OpenAICompatible:
    """One model of a server; base_url ends where ``/chat/completions`` begins, as in ``http://127.0.0.1:8000/v1``.

    A server that rejects JSON schemas is asked in weaker ways, and remembered; replies are validated either way.
    """

    def __init__(self, base_url: str, model: str, api_key: str = "") -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError("CARECALL_LLM must be none, local, or a URL such as http://127.0.0.1:8000/v1.")
        self._model = model
        self._server = parts.netloc.rpartition("@")[2]
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=None,  # every request is under a deadline of its own
        )
        self._structure = _Structure.SCHEMA

    @property
    def name(self) -> str:
        return self._model

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
        request: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "max_tokens": max_tokens,
            "temperature": temperature,
            **({"stop": list(stop)} if stop else {}),
        }
        try:
            async with asyncio.timeout(deadline_s):
                if schema is None:
                    return await self._reply(request)
                return await self._structured_reply(request, schema)
        except TimeoutError:
            raise DeadlineExceeded(f"{self._server} did not answer within {deadline_s:g} s.") from None

    async def warm(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        try:
            await self.complete(messages, deadline_s=_WARM_DEADLINE_S, max_tokens=1)
        except LanguageModelError:
            return

    async def close(self) -> None:
        await self._client.aclose()

    async def _structured_reply(self, request: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
        rejected: _Rejected | None = None
        ways = list(_Structure)
        for way in ways[ways.index(self._structure) :]:
            try:
                reply = await self._reply(_asking_for_json(request, schema, way))
            except _Rejected as error:
                rejected = rejected or error
                continue
            self._structure = way
            return checked(reply, schema)
        assert rejected is not None
        raise rejected

    async def _reply(self, request: Mapping[str, Any]) -> str:
        try:
            async with self._client.stream("POST", self._url, json=request) as response:
                self._check(response.status_code, response.reason_phrase)
                self._check_size(int(response.headers.get("content-length", 0)))
                body = b""
                async for chunk in response.aiter_bytes():
                    body += chunk
                    self._check_size(len(body))
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise LanguageModelError(
                f"{self._server} cannot be reached or broke off ({type(error).__name__}). Check CARECALL_LLM."
            ) from None
        try:
            content = json.loads(body)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError):
            content = None
        if not isinstance(content, str):
            raise LanguageModelError(
                f"{self._server} does not answer like an OpenAI-compatible server. Check CARECALL_LLM."
            )
        return content.strip()

    def _check_size(self, size: int) -> None:
        if size > _LARGEST_REPLY:
            raise LanguageModelError(f"{self._server} sent more than {_LARGEST_REPLY // 1024} KiB.")

    def _check(self, status: int, phrase: str) -> None:
        if status == HTTPStatus.OK:
            return
        trouble = f"{self._server} answered {status} {phrase}."
        if status in _REJECTED:
            raise _Rejected(f"{trouble} It may not know {self._model} or an option of the request.")
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise LanguageModelError(f"{trouble} Check CARECALL_LLM_API_KEY.")
        if status == HTTPStatus.NOT_FOUND:
            raise LanguageModelError(f"{trouble} Check CARECALL_LLM and CARECALL_LLM_MODEL.")
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            raise LanguageModelError(
                f"{trouble} It takes no more requests now; allow it more, or make fewer calls at once."
            )
        raise LanguageModelError(f"{trouble} Look at that server's log.")


def _asking_for_json(request: Mapping[str, Any], schema: Mapping[str, Any], way: _Structure) -> dict[str, Any]:
    if way is _Structure.SCHEMA:
        wanted: dict[str, Any] = {
            "type": "json_schema",
            "json_schema": {"name": "reply", "strict": True, "schema": schema},
        }
        return {**request, "response_format": wanted}
    told = {
        "role": "system",
        "content": f"Reply with one JSON value and nothing else. It must match this JSON Schema: {json.dumps(schema)}",
    }
    asking = {**request, "messages": [told, *request["messages"]]}
    return {**asking, "response_format": {"type": "json_object"}} if way is _Structure.OBJECT else asking
