"""The bot of pipecat's own examples on the models that CareCall has: what the latency of a call is compared with.

    python benchmarks/stock_bot.py llm PORT               an OpenAI-compatible server, on llama-cpp-python as it comes
    python benchmarks/stock_bot.py bot PORT --llm URL     the bot; a media stream is taken at /ws

Nothing about it is tuned, and nothing of CareCall is in it but where the models lie.
"""

import argparse
import json
from collections.abc import Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from llama_cpp import Llama
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import LLMRunFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.piper.tts import PiperTTSService
from pipecat.services.whisper.stt import WhisperSTTService
from pipecat.transports.base_transport import BaseTransport
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner

from carecall import model_files
from carecall.settings import settings

INSTRUCTION = (
    "You phone an older adult for a daily check-in. Ask, one question at a time: whether they have eaten, how they "
    "slept, how their health is, whether they missed medicine, whether they went out, whether they exercise, and how "
    "their mood is. Reply to each answer with one short kind sentence and the next question. Your words are spoken: no "
    "lists, no emoji."
)


def model_server() -> FastAPI:
    """Chat completions, streamed as the OpenAI API does."""
    model = Llama(
        str(model_files.ensure(settings().llm_model)), n_ctx=4096, n_threads=settings().threads, verbose=False
    )
    app = FastAPI()

    @app.post("/v1/chat/completions")
    def complete(asked: dict[str, Any]) -> StreamingResponse:
        def events() -> Iterator[str]:
            for chunk in model.create_chat_completion(asked["messages"], stream=True, max_tokens=128):
                yield f"data: {json.dumps(chunk)}\n\n"
            yield "data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    return app


def bot_server(llm_url: str) -> FastAPI:
    app = FastAPI()

    @app.websocket("/ws")
    async def call(socket: WebSocket) -> None:
        await socket.accept()
        _, start = await parse_telephony_websocket(socket)
        serializer = TwilioFrameSerializer(
            str(start["stream_id"]), params=TwilioFrameSerializer.InputParams(auto_hang_up=False)
        )
        await hold_call(
            FastAPIWebsocketTransport(
                socket, FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True, serializer=serializer)
            ),
            llm_url,
        )

    return app


async def hold_call(transport: BaseTransport, llm_url: str) -> None:
    voice = model_files.ensure(settings().tts_voice_en)
    stt = WhisperSTTService(
        device="cpu",
        compute_type="int8",
        settings=WhisperSTTService.Settings(model=str(model_files.ensure(settings().stt_model))),
    )
    llm = OpenAILLMService(
        api_key="none",
        base_url=llm_url,
        settings=OpenAILLMService.Settings(model="local", system_instruction=INSTRUCTION),
    )
    tts = PiperTTSService(download_dir=voice.parent, settings=PiperTTSService.Settings(voice=voice.stem))
    context = LLMContext()
    user, assistant = LLMContextAggregatorPair(
        context, user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer())
    )
    worker = PipelineWorker(
        Pipeline([transport.input(), stt, user, llm, tts, transport.output(), assistant]),
        params=PipelineParams(audio_in_sample_rate=16_000, audio_out_sample_rate=8_000),
    )

    async def answered(_transport: BaseTransport, _peer: object) -> None:
        context.add_message({"role": "user", "content": "Hello?"})
        await worker.queue_frames([LLMRunFrame()])

    async def hung_up(_transport: BaseTransport, _peer: object) -> None:
        await worker.cancel()

    transport.add_event_handler("on_client_connected", answered)
    transport.add_event_handler("on_client_disconnected", hung_up)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("llm", "bot"))
    parser.add_argument("port", type=int)
    parser.add_argument("--llm", default="", help="base URL of the language model, for the bot")
    arguments = parser.parse_args()
    app = model_server() if arguments.what == "llm" else bot_server(arguments.llm)
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
