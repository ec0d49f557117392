"""One evaluation from file to figures."""

import datetime
from pathlib import Path
from typing import assert_never

from carecall.domain.language import Language
from carecall.evaluation import kinds
from carecall.evaluation.kinds import Evaluation, Progress, Setup
from carecall.evaluation.reading import Reader
from carecall.evaluation.records import (
    BoundsRecord,
    Codec,
    IntentRecord,
    Kind,
    RedFlagRecord,
    UnderstandingRecord,
    VolunteeredRecord,
    read_episodes,
    read_lines,
    read_recordings,
)
from carecall.llm import LanguageModel
from carecall.settings import settings


async def run(
    kind: Kind,
    file: Path,
    *,
    model: LanguageModel | None,
    today: datetime.date,
    language: Language | None = None,
    codec: Codec = Codec.NONE,
    progress: Progress = iter,
) -> Evaluation:
    """Measure on a file. ``today`` is for lines that name no day.

    Raises EvaluationFileError for a wrong file, ModelFileError and SpeechError when there is no recogniser.
    """
    setup = Setup(Reader(model, settings().llm_deadline_s), today, language, progress)
    try:
        match kind:
            case Kind.UNDERSTANDING:
                return await kinds.understanding(read_lines(file, UnderstandingRecord), setup)
            case Kind.VOLUNTEERED:
                return await kinds.volunteered(read_lines(file, VolunteeredRecord), setup)
            case Kind.REDFLAGS:
                return await kinds.red_flags(read_lines(file, RedFlagRecord), setup)
            case Kind.INTENTS:
                return await kinds.intents(read_lines(file, IntentRecord), setup)
            case Kind.BOUNDS:
                return await kinds.in_bounds(read_lines(file, BoundsRecord), setup)
            case Kind.MEMORY:
                from carecall.evaluation import memory

                return await memory.updates(read_episodes(file), setup)
            case Kind.SPEECH:
                from carecall.evaluation import speech

                return speech.recognition(read_recordings(file), language=language, codec=codec, progress=progress)
            case _:
                assert_never(kind)
    finally:
        if model is not None:
            await model.close()
