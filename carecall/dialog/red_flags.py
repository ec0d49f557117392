"""Red flags from ``dialogs/red-flags.<language>.yaml``: how they are recognised and what is said to them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from carecall.dialog.definition import RedFlag
from carecall.dialog.understanding.lexicon import (
    Phrases,
    VocabularyError,
    VocabularyFile,
    compile_phrases,
    read_vocabulary,
)
from carecall.domain.language import Language
from carecall.domain.triage import Urgency


@dataclass(frozen=True, slots=True)
class RedFlagPhrases:
    """How people speak of a danger, and what shows that there is none after all."""

    patterns: Phrases
    unless: Phrases  # in the same clause as the match


class _Flag(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: str
    urgency: Urgency
    title: str
    say: list[str] = Field(min_length=1)
    keep_on_line: bool = False
    stay_on_line: list[str] = []
    patterns: list[str] = Field(min_length=1)
    unless: list[str] = []

    @model_validator(mode="after")
    def _serious(self) -> Self:
        if self.urgency not in (Urgency.EMERGENCY, Urgency.URGENT):
            raise ValueError("urgency must be emergency or urgent")
        if self.keep_on_line and not self.stay_on_line:
            raise ValueError("keep_on_line needs stay_on_line sentences")
        return self


class _RedFlagFile(VocabularyFile):
    flags: list[_Flag] = Field(min_length=1)


@cache
def _file(dialogs_dir: Path, language: Language) -> tuple[Path, _RedFlagFile]:
    path = dialogs_dir / f"red-flags.{language}.yaml"
    file = read_vocabulary(path, language, _RedFlagFile)
    ids = [flag.id for flag in file.flags]
    for each in ids:
        if ids.count(each) > 1:
            raise VocabularyError(f"{path}: flags: {each} stands there twice.")
    return path, file


@cache
def load_red_flags(dialogs_dir: Path, language: Language) -> dict[str, RedFlag]:
    """The language's red flags by id, in the order of the file, most pressing first. Raises VocabularyError."""
    _, file = _file(dialogs_dir, language)
    return {
        flag.id: RedFlag(
            id=flag.id,
            urgency=flag.urgency,
            title=flag.title,
            say=tuple(flag.say),
            keep_on_line=flag.keep_on_line,
            stay_on_line=tuple(flag.stay_on_line),
        )
        for flag in file.flags
    }


@cache
def load_red_flag_phrases(dialogs_dir: Path, language: Language) -> Mapping[str, RedFlagPhrases]:
    """How each red flag of the language is recognised, by id. Raises VocabularyError."""
    path, file = _file(dialogs_dir, language)
    return {
        flag.id: RedFlagPhrases(
            patterns=compile_phrases(path, f"flags.{flag.id}.patterns", flag.patterns, file),
            unless=compile_phrases(path, f"flags.{flag.id}.unless", flag.unless, file),
        )
        for flag in file.flags
    }
