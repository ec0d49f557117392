"""The OpenAI-compatible client against a real server on loopback that speaks the protocol over a scripted model."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from carecall.errors import DeadlineExceeded, LanguageModelError, SettingsError
from carecall.llm import Message
from carecall.llm.openai_compatible import OpenAICompatible

SECRET_WORDS = "my name is Agnes Brown"
KEY = "sk-very-secret"
ASK = [Message("system", "Be kind."), Message("user", SECRET_WORDS)]
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"enum": ["yes", "no", "unknown"]}},
    "required": ["answer"],
    "additionalProperties": False,
}


def completion(content: str | None) -> Response:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return JSONResponse({"id": "1", "object": "chat.completion", "model": "scripted", "choices": [choice]})


@dataclass(slots=True)
class Server:
    """What came in, and how the next requests are answered."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    answer: Callable[[dict[str, Any]], Response] = field(default=lambda _request: completion("Good to hear."))
    delay_s: float = 0.0
    arrived: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)
    url: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    script = Server()
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> Response:
        body = await request.json()
        script.requests.append(body)
        script.keys.append(request.headers.get("authorization"))
        script.arrived.set()
        until = time.monotonic() + script.delay_s
        while time.monotonic() < until:
            if await request.is_disconnected():
                script.left.set()
                break
            await asyncio.sleep(0.02)
        return script.answer(body)

    running = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    port = running.servers[0].sockets[0].getsockname()[1]
    script.url = f"http://127.0.0.1:{port}/v1"
    yield script
    running.should_exit = True
    thread.join()


async def ask(server: Server, **options: Any) -> str:
    model = OpenAICompatible(server.url, "scripted", KEY)
    try:
        return await model.complete(ASK, **({"deadline_s": 5.0} | options))
    finally:
        await model.close()


async def test_the_prompt_goes_out_as_the_protocol_says(server: Server) -> None:
    reply = await ask(server, max_tokens=20, stop=["\n"])

    assert reply == "Good to hear."
    assert server.keys == [f"Bearer {KEY}"]
    assert server.requests == [
        {
            "model": "scripted",
            "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": SECRET_WORDS}],
            "max_tokens": 20,
            "temperature": 0.0,
            "stop": ["\n"],
        }
    ]


async def test_a_schema_goes_along_and_the_reply_is_checked(server: Server) -> None:
    server.answer = lambda _request: completion('{"answer": "yes"}')

    assert json.loads(await ask(server, schema=SCHEMA)) == {"answer": "yes"}
    wanted = server.requests[0]["response_format"]
    assert wanted["type"] == "json_schema"
    assert wanted["json_schema"]["schema"] == SCHEMA


@pytest.mark.parametrize("reply", ['{"answer": "maybe"}', '{"answer": "ye', "Yes, she did."])
async def test_a_reply_that_breaks_the_schema_is_refused_without_repeating_it(server: Server, reply: str) -> None:
    server.answer = lambda _request: completion(reply)

    with pytest.raises(LanguageModelError) as refused:
        await ask(server, schema=SCHEMA)
    assert "maybe" not in str(refused.value)
    assert "she did" not in str(refused.value)


@pytest.mark.parametrize("taken", ["json_object", None])
async def test_a_server_without_schemas_is_asked_in_weaker_ways_and_remembered(
    server: Server, taken: str | None
) -> None:
    def answer(request: dict[str, Any]) -> Response:
        asked = request.get("response_format", {}).get("type")
        if asked != taken:
            return PlainTextResponse("response_format is not supported", 400)
        return completion('```json\n{"answer": "no"}\n```')

    server.answer = answer
    model = OpenAICompatible(server.url, "scripted")
    for _ in range(2):
        assert json.loads(await model.complete(ASK, deadline_s=5, schema=SCHEMA)) == {"answer": "no"}
    await model.close()

    asked = [request.get("response_format", {}).get("type") for request in server.requests]
    assert asked[-2:] == [taken, taken]
    assert asked.count("json_schema") == 1
    assert '"enum": ["yes", "no", "unknown"]' in server.requests[-1]["messages"][0]["content"]


async def test_a_late_reply_is_a_deadline_and_the_server_is_hung_up_on(server: Server) -> None:
    server.delay_s = 5
    started = time.monotonic()

    with pytest.raises(DeadlineExceeded, match=r"within 0\.2 s"):
        await ask(server, deadline_s=0.2)

    assert time.monotonic() - started < 4
    assert await asyncio.to_thread(server.left.wait, 2)


async def test_cancelling_hangs_up_too(server: Server) -> None:
    server.delay_s = 5
    asking = asyncio.create_task(ask(server))
    assert await asyncio.to_thread(server.arrived.wait, 5)
    asking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await asyncio.to_thread(server.left.wait, 2)


@pytest.mark.parametrize(
    ("status", "mend"),
    [
        (302, "that server's log"),
        (400, "may not know scripted"),
        (401, "CARECALL_LLM_API_KEY"),
        (404, "CARECALL_LLM_MODEL"),
        (429, "no more requests"),
        (500, "that server's log"),
        (520, "that server's log"),
    ],
)
async def test_a_status_becomes_one_line_that_leaks_nothing(server: Server, status: int, mend: str) -> None:
    server.answer = lambda request: PlainTextResponse(f"{request} {KEY}", status)

    with pytest.raises(LanguageModelError, match=mend) as failed:
        await ask(server)

    line = str(failed.value)
    assert str(status) in line
    assert "\n" not in line
    assert "Agnes" not in line
    assert KEY not in line


@pytest.mark.parametrize(
    "answer",
    [
        lambda _request: PlainTextResponse("<html>hello</html>"),
        lambda _request: JSONResponse({"choices": []}),
        lambda _request: JSONResponse(["choices"]),
        lambda _request: completion(None),
    ],
)
async def test_what_is_no_completion_is_named(server: Server, answer: Callable[[dict[str, Any]], Response]) -> None:
    server.answer = answer

    with pytest.raises(LanguageModelError, match="does not answer like"):
        await ask(server)


@pytest.mark.parametrize(
    "answer",
    [
        lambda _request: PlainTextResponse(b"x" * 50_000_000),
        lambda _request: StreamingResponse(b"x" * 10_000 for _ in range(5_000)),
    ],
    ids=["whole", "in chunks"],
)
async def test_a_huge_reply_is_not_read_to_its_end(
    server: Server, answer: Callable[[dict[str, Any]], Response]
) -> None:
    server.answer = answer

    with pytest.raises(LanguageModelError, match="more than 256 KiB"):
        await ask(server)
    await asyncio.sleep(0.05)  # the HTTP client drops the rest of its reading


async def test_a_server_out_of_reach_is_named_without_its_password() -> None:
    model = OpenAICompatible("http://user:hidden@127.0.0.1:9/v1", "any", KEY)

    with pytest.raises(LanguageModelError, match=r"127\.0\.0\.1:9 cannot be reached") as failed:
        await model.complete(ASK, deadline_s=5)
    assert "hidden" not in str(failed.value)
    await model.warm(ASK)
    await model.close()


async def test_warming_evaluates_the_prefix_for_one_token(server: Server) -> None:
    model = OpenAICompatible(server.url, "scripted")
    await model.warm(ASK)
    await model.close()

    assert [request["max_tokens"] for request in server.requests] == [1]


@pytest.mark.parametrize("url", ["ollama", "ftp://host/v1", "http://"])
def test_what_is_no_address_is_a_settings_error(url: str) -> None:
    with pytest.raises(SettingsError, match="CARECALL_LLM must be"):
        OpenAICompatible(url, "any")
