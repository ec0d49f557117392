"""One live call: builds the pipeline over a transport, holds the conversation, and returns when the line is down."""

import asyncio
from contextlib import nullcontext

from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.audio.vad_processor import VADProcessor
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.base_transport import BaseTransport
from pipecat.workers.runner import WorkerRunner

from carecall.dialog.manager import DialogManager
from carecall.speech.factory import TELEPHONE_RATE
from carecall.speech.whisper import SAMPLE_RATE
from carecall.store.sound_file import SoundFile
from carecall.voice.dialog_processor import CallClock, DialogProcessor
from carecall.voice.latency import LatencyObserver, TurnLatency
from carecall.voice.recording import Recording
from carecall.voice.spoken_processor import SpokenProcessor
from carecall.voice.turn_taking import Patience, turn_strategies, voice_activity

_IDLE_TIMEOUT_S = 60.0  # nothing said by anyone for so long means that the call is dead


async def hold_call(
    transport: BaseTransport,
    manager: DialogManager,
    stt: STTService,
    tts: TTSService,
    *,
    patience: Patience | None = None,
    recording: SoundFile | None = None,
    earlier_s: float = 0.0,
    end: asyncio.Event | None = None,
) -> list[TurnLatency]:
    """Talk until the dialog ends, the line drops or ``end`` is set; returns the latency of every answer.

    With ``recording`` the call's audio is written there (stereo, recipient left, agent right). ``earlier_s`` is how
    long the call has lasted that is taken up. Raises what made the conversation impossible, once the line is closed.
    """
    patience = patience or Patience()
    latency = LatencyObserver()
    with Recording(recording, TELEPHONE_RATE) if recording else nullcontext() as tape:
        clock = CallClock(earlier_s if tape is None or tape.earlier_s is None else tape.earlier_s)
        dialog = DialogProcessor(manager, clock, turn_strategies(patience))
        pipeline = Pipeline(
            [
                transport.input(),
                VADProcessor(vad_analyzer=voice_activity(patience)),
                stt,
                dialog,
                tts,
                transport.output(),
                SpokenProcessor(manager, clock),
                *([tape.processor] if tape else []),
            ]
        )
        worker = PipelineWorker(
            pipeline,
            params=PipelineParams(audio_in_sample_rate=SAMPLE_RATE, audio_out_sample_rate=TELEPHONE_RATE),
            observers=[latency],
            enable_rtvi=False,
            enable_turn_tracking=False,
            idle_timeout_secs=_IDLE_TIMEOUT_S,
        )

        async def hung_up(_transport: BaseTransport, _peer: object) -> None:
            await worker.cancel()

        transport.add_event_handler("on_client_disconnected", hung_up)
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        ending = asyncio.create_task(_cancel_on(end, worker)) if end else None
        try:
            await runner.run()
        finally:
            if ending is not None:
                ending.cancel()
                await asyncio.gather(ending, return_exceptions=True)
    if dialog.failure is not None:
        raise dialog.failure
    return latency.turns


async def _cancel_on(end: asyncio.Event, worker: PipelineWorker) -> None:
    await end.wait()
    await worker.cancel()
