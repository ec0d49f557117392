"""The labelled lines that are measured on, read from files and checked. The formats are in docs/evaluation.md."""

import datetime
import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from carecall.dialog.definition import Choice
from carecall.dialog.understanding.meaning import Intent
from carecall.domain.finding import AnswerType, Ternary, Unit
from carecall.domain.language import Language
from carecall.domain.turn import Speaker
from carecall.errors import CareCallError


class Kind(StrEnum):
    """What is measured."""

    UNDERSTANDING = "understanding"
    VOLUNTEERED = "volunteered"
    REDFLAGS = "redflags"
    INTENTS = "intents"
    BOUNDS = "bounds"
    MEMORY = "memory"
    SPEECH = "speech"


class Codec(StrEnum):
    """What audio goes through before it is recognised."""

    NONE = "none"
    MULAW8K = "mulaw8k"  # 8 kHz, G.711 μ-law: a telephone line


class EvaluationFileError(CareCallError):
    """A file to measure on is missing or wrong."""

    code = "evaluation_file"


def _speaker(value: object) -> object:
    return Speaker.RECIPIENT if value == "person" else value


class Utterance(BaseModel):
    role: Annotated[Speaker, BeforeValidator(_speaker)]
    text: str


class Record(BaseModel):
    """One line. ``expected`` may be left out: then the line is predicted, and no metric is given."""

    model_config = ConfigDict(frozen=True)
    id: str
    language: Language | None = None

    @property
    def labelled(self) -> bool:
        return "expected" in self.model_fields_set


class _Option(BaseModel):
    id: str
    label: str


class UnderstandingRecord(Record):
    ask: str
    answer_type: AnswerType
    reply: str
    unit: Unit | None = None
    choices: list[_Option] = []
    today: datetime.date | None = None
    expected: float | str | None = None

    @model_validator(mode="after")
    def _expected_fits(self) -> "UnderstandingRecord":
        if not self.labelled:
            return self
        match self.answer_type:
            case AnswerType.YES_NO:
                fits = self.expected in list(Ternary)
            case AnswerType.NUMBER | AnswerType.DURATION_DAYS:
                fits = self.expected is None or isinstance(self.expected, float)
            case AnswerType.CHOICE:
                fits = self.expected is None or any(self.expected == choice.id for choice in self.choices)
            case AnswerType.OPEN:
                fits = False
        if not fits:
            raise ValueError(f"expected {self.expected!r} is no answer of the type {self.answer_type}")
        return self

    @property
    def options(self) -> tuple[Choice, ...]:
        return tuple(Choice(option.id, option.label) for option in self.choices)


class VolunteeredRecord(Record):
    ask: str
    reply: str
    expected: dict[str, Literal["yes", "no"]] = {}


class RedFlagRecord(Record):
    ask: str
    reply: str
    expected: list[str] = []


class IntentRecord(Record):
    ask: str
    reply: str
    expected: Intent = Intent.ANSWER


class BoundsRecord(Record):
    context: list[Utterance]
    utterance: str
    expected: Literal["in", "out"] = "in"


class Session(BaseModel):
    """One call of an episode. What is left out comes from the call before, or from the dialogue."""

    date: datetime.date
    memory_before: list[str] | None = None
    dialogue: list[Utterance] = []
    new_facts: list[str] | None = None
    memory_after: list[str] | None = None


class Episode(BaseModel):
    episode: str
    language: Language | None = None
    sessions: list[Session] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Recording:
    """One line of a speech file."""

    name: str  # the path as the file gives it
    path: Path
    transcript: str


_Shape = TypeVar("_Shape", bound=BaseModel)
_Any = TypeVar("_Any")


def read_lines(path: Path, shape: type[_Shape]) -> list[_Shape]:
    """The records of a JSON-lines file, empty lines left out. Raises EvaluationFileError that names the line."""
    records = []
    for number, line in _lines(path):
        try:
            records.append(shape.model_validate(json.loads(line)))
        except ValueError as error:
            raise EvaluationFileError(f"{path}, line {number}: {_said(error)}.") from None
    return _some(records, path)


def read_episodes(path: Path) -> list[Episode]:
    """The episodes of a memory file, one JSON list. Raises EvaluationFileError."""
    text = "\n".join(line for _, line in _lines(path))
    try:
        content: Any = json.loads(text)
        if not isinstance(content, list):
            raise ValueError("is not a list of episodes")
    except ValueError as error:
        raise EvaluationFileError(f"{path}: {_said(error)}.") from None
    episodes = []
    for number, each in enumerate(content, start=1):
        try:
            episodes.append(Episode.model_validate(each))
        except ValueError as error:
            raise EvaluationFileError(f"{path}, episode {number}: {_said(error)}.") from None
    return _some(episodes, path)


def read_recordings(path: Path) -> list[Recording]:
    """The lines of a speech file: a wav path (from the file's own folder, or from here), a tab, the transcript."""
    recordings = []
    for number, line in _lines(path):
        wav, tab, transcript = line.partition("\t")
        if not tab:
            raise EvaluationFileError(f"{path}, line {number}: wants a wav path, a tab and the transcript.")
        name = wav.strip()
        beside = path.parent / name
        recordings.append(Recording(name, beside if beside.exists() else Path(name), transcript.strip()))
    return _some(recordings, path)


def language_of(text: str) -> Language:
    """Korean when the text has Hangul, else English."""
    return Language.KOREAN if any("HANGUL" in unicodedata.name(sign, "") for sign in text) else Language.ENGLISH


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise EvaluationFileError(f"{path}: cannot be read ({error.strerror}). Check the path.") from None
    except UnicodeDecodeError:
        raise EvaluationFileError(f"{path}: is not UTF-8 text. Save it as UTF-8.") from None
    return ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())


def _some(records: list[_Any], path: Path) -> list[_Any]:
    if not records:
        raise EvaluationFileError(f"{path}: is empty; there is nothing to measure.")
    return records


def _said(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where}: {first['msg']}" if where else str(first["msg"])
    if isinstance(error, json.JSONDecodeError):
        return f"is not JSON ({error.msg} at column {error.colno})"
    return str(error)
