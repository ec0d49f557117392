"""The vocabulary of a language's rules: ``dialogs/lexicon.<language>.yaml`` as checked, compiled expressions.

A file holds ``language``, ``version``, ``findings``, ``intents`` and any further named lists of regular expressions
(``negations``, ``past``, ``others`` ...). ``classes`` names pieces that an expression takes in by ``{name}``.
Expressions ignore case, unless the file says ``match_case``; with ``whole_words`` they match at the borders of words
only.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from carecall.domain.language import Language
from carecall.errors import CareCallError

_CLASS = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


class VocabularyError(CareCallError):
    """A lexicon or a file of red flags is wrong."""

    code = "vocabulary"


class Phrases:
    """A list of regular expressions that are looked for together."""

    __slots__ = ("_pattern",)

    def __init__(self, expressions: Sequence[str] = (), whole_words: bool = False, match_case: bool = False) -> None:
        joined = "|".join(f"(?:{each})" for each in expressions) or r"(?!)"
        self._pattern = re.compile(rf"\b(?:{joined})\b" if whole_words else joined, 0 if match_case else re.IGNORECASE)

    def search(self, text: str, start: int = 0, end: int | None = None) -> re.Match[str] | None:
        """The first place where one of the expressions matches."""
        return self._pattern.search(text, start, len(text) if end is None else end)

    def fullmatch(self, text: str) -> re.Match[str] | None:
        """A match of one expression with the whole text."""
        return self._pattern.fullmatch(text)

    def finditer(self, text: str, start: int = 0, end: int | None = None) -> Iterator[re.Match[str]]:
        """All places that do not overlap, from left to right."""
        return self._pattern.finditer(text, start, len(text) if end is None else end)

    def mask(self, text: str, fill: str = "_") -> str:
        """The text with the letters of every match replaced by ``fill``, so that places stay the same."""
        return self._pattern.sub(lambda match: re.sub(r"\w", fill, match[0]), text)


class FindingKind(StrEnum):
    """What time a finding is about, and whether having it is welcome."""

    SYMPTOM = "symptom"  # now; unwelcome
    EVENT = "event"  # lately, over or not; unwelcome
    STATE = "state"  # now; welcome
    ACT = "act"  # done today, not only planned


@dataclass(frozen=True, slots=True)
class FindingPhrases:
    """How people speak of one finding."""

    topic: Phrases  # a question about it
    present: Phrases  # the words for it; whether they are denied is the reader's to see
    absent: Phrases  # set phrases that say it is not there
    kind: FindingKind = FindingKind.SYMPTOM
    opposite: str = ""  # the finding that is there exactly when this one is not
    lead: str = ""  # words that make a full sentence of a bare answer: "my nose is" before "running like a tap"


@dataclass(frozen=True, slots=True)
class Lexicon:
    """One language's vocabulary."""

    language: Language
    version: str
    findings: Mapping[str, FindingPhrases]
    intents: Mapping[str, Phrases]
    lists: Mapping[str, Phrases] = field(default_factory=dict)  # every other named list of the file

    def phrases(self, name: str) -> Phrases:
        """The list of that name, empty when the file has none."""
        return self.lists.get(name, _NOTHING)


_NOTHING = Phrases()


class _Finding(BaseModel):
    model_config = ConfigDict(extra="forbid")
    topic: list[str] = []
    present: list[str] = []
    absent: list[str] = []
    kind: FindingKind = FindingKind.SYMPTOM
    opposite: str = ""
    lead: str = ""


class VocabularyFile(BaseModel):
    """What every vocabulary file begins with."""

    model_config = ConfigDict(extra="forbid")
    language: Language
    version: str
    classes: dict[str, str] = {}
    whole_words: bool = False
    match_case: bool = False  # several times faster; for text that is in lower case already


class _LexiconFile(VocabularyFile):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, list[str]]
    findings: dict[str, _Finding]
    intents: dict[str, list[str]] = {}


File = TypeVar("File", bound=VocabularyFile)


def read_vocabulary(path: Path, language: Language, shape: type[File]) -> File:
    """The file as checked values. Raises VocabularyError with one line that names the file and the field."""
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
        file = shape.model_validate(content)
    except OSError as error:
        raise VocabularyError(f"{path}: cannot be read ({error.strerror}). Check CARECALL_DIALOGS_DIR.") from None
    except UnicodeDecodeError:
        raise VocabularyError(f"{path}: is not UTF-8 text. Save it as UTF-8.") from None
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise VocabularyError(f"{path}{line}: is not valid YAML ({error.problem}).") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise VocabularyError(f"{path}: {where}: {first['msg']}.") from None
    if file.language is not language:
        raise VocabularyError(
            f"{path}: language: is {file.language}, not {language}. Rename the file or mend the field."
        )
    return file


def compile_phrases(path: Path, where: str, expressions: Sequence[str], file: VocabularyFile) -> Phrases:
    """The expressions with their classes filled in. Raises VocabularyError that names the wrong one."""
    filled = []
    for number, expression in enumerate(expressions):
        place = f"{path}: {where}.{number}"
        full = _fill(expression, file.classes, place)
        try:
            re.compile(full)
        except re.error as error:
            raise VocabularyError(f"{place}: is not a regular expression ({error}).") from None
        filled.append(full)
    return Phrases(filled, file.whole_words, file.match_case)


def _fill(expression: str, classes: Mapping[str, str], place: str, depth: int = 0) -> str:
    def piece(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in classes:
            raise VocabularyError(f"{place}: names the class {name}, which the file does not have.")
        if depth > 8:
            raise VocabularyError(f"{place}: the class {name} takes in itself.")
        return f"(?:{_fill(classes[name], classes, place, depth + 1)})"

    return _CLASS.sub(piece, expression)


@cache
def load_lexicon(dialogs_dir: Path, language: Language) -> Lexicon:
    """The language's lexicon, read once. Raises VocabularyError."""
    path = dialogs_dir / f"lexicon.{language}.yaml"
    file = read_vocabulary(path, language, _LexiconFile)

    def phrases(where: str, expressions: Sequence[str]) -> Phrases:
        return compile_phrases(path, where, expressions, file)

    return Lexicon(
        language=language,
        version=file.version,
        findings={
            name: FindingPhrases(
                topic=phrases(f"findings.{name}.topic", finding.topic),
                present=phrases(f"findings.{name}.present", finding.present),
                absent=phrases(f"findings.{name}.absent", finding.absent),
                kind=finding.kind,
                opposite=finding.opposite,
                lead=finding.lead,
            )
            for name, finding in file.findings.items()
        },
        intents={name: phrases(f"intents.{name}", each) for name, each in file.intents.items()},
        lists={name: phrases(name, each) for name, each in file.__pydantic_extra__.items()},
    )
