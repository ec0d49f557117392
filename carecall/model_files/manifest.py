"""What a manifest of models says: which files make a model, their sizes and checksums, and where they come from."""

import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from carecall.errors import ModelFileError

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+-]*$")]


class Kind(StrEnum):
    STT = "stt"
    TTS = "tts"
    LLM = "llm"


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class WheelPart(_Entry):
    """One member of a wheel; the parts of a file are laid end to end."""

    wheel: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.]+$")]
    member: str
    size: int = Field(gt=0)
    sha256: Sha256


class Hub(_Entry):
    """A repository of a model hub at one commit."""

    repository: str
    revision: str


class File(_Entry):
    """One file of a model. Sizes are bytes."""

    name: FileName
    size: int = Field(gt=0)
    sha256: Sha256 | None = None  # absent: checked against what the hub publishes
    parts: tuple[WheelPart, ...] = Field((), alias="part")

    @model_validator(mode="after")
    def _parts_make_the_file(self) -> Self:
        if self.parts and (self.sha256 is None or sum(part.size for part in self.parts) != self.size):
            raise ValueError("a file of wheel parts needs sha256, and the sizes of its parts must add up to its size")
        return self


class ModelFile(_Entry):
    """One model: a file or a folder of files."""

    name: FileName
    kind: Kind
    purpose: str
    licence: str
    opens: FileName | None = None  # the file that a program is given; absent: the folder
    files: tuple[File, ...] = Field((), alias="file")
    hub: Hub | None = None
    path: Path | None = None  # already on this machine; used where it lies

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        parts = bool(self.files) and all(file.parts for file in self.files)
        if [parts, self.hub is not None and bool(self.files), self.path is not None].count(True) != 1:
            raise ValueError("a model needs exactly one source: wheel parts, a hub, or a path")
        if self.opens and self.path is None and self.opens not in {file.name for file in self.files}:
            raise ValueError(f"opens names {self.opens}, which is none of its files")
        return self

    @property
    def size(self) -> int:
        """Bytes of all files; 0 where the model lies at a path."""
        return sum(file.size for file in self.files)


class _Manifest(_Entry):
    models: tuple[ModelFile, ...] = Field((), alias="model")


def read(path: Path) -> dict[str, ModelFile]:
    """The models of a manifest by name. Raises ModelFileError with one line when it is wrong."""
    try:
        content = _Manifest.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ModelFileError(f"The manifest of models {path} cannot be read: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise ModelFileError(f"The manifest of models {path} is wrong at {where}: {first['msg']}") from None
    return {model.name: model for model in content.models}
