"""The vocabulary of memories: ``dialogs/memory.<language>.yaml`` as checked, compiled expressions."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from carecall.domain.language import Language
from carecall.errors import CareCallError
from carecall.memory.memory import Topic
from carecall.settings import settings


class MemoryVocabularyError(CareCallError):
    """The vocabulary of memories is missing or wrong."""

    code = "memory_vocabulary"


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid")
    say: str
    text: str


class _VocabularyFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    language: Language
    version: str
    numbers: dict[str, int | str]
    number_before: str = ""  # a number word is one only where this follows
    ended: list[str]
    fine: list[str]
    troubles: dict[str, list[str]]
    hardly: list[str]
    still: list[str]
    planned: list[str]
    medicine: list[str]
    people: list[str]
    death: list[str]
    values: dict[str, dict[str, list[str]]]
    kinds: dict[str, dict[str, list[str]]]
    concepts: dict[str, list[str]]
    abilities: set[str]
    single: set[str]
    persons: set[str]
    stop: list[str]
    topics: dict[Topic, list[str]]
    chronic: list[str]
    follow_ups: dict[Topic, list[str]]
    said: list[_Said]
    denied: list[str]
    fillers: list[str]
    unsaid: list[str]
    findings: dict[str, str]
    forget: list[str]
    forget_names: str = ""  # the words before a request that name what is to be forgotten


@dataclass(frozen=True, slots=True)
class Vocabulary:
    numbers: dict[str, str]
    number: re.Pattern[str]
    ended: re.Pattern[str]
    fine: re.Pattern[str]
    troubles: tuple[tuple[str, re.Pattern[str]], ...]
    hardly: re.Pattern[str]
    still: re.Pattern[str]
    planned: re.Pattern[str]
    medicine: re.Pattern[str]
    people: re.Pattern[str]
    death: re.Pattern[str]
    values: tuple[tuple[str, str, re.Pattern[str]], ...]
    kinds: tuple[tuple[str, str, re.Pattern[str]], ...]
    concepts: tuple[tuple[str, re.Pattern[str]], ...]
    abilities: frozenset[str]
    single: frozenset[str]
    persons: frozenset[str]
    stop: re.Pattern[str]
    topics: tuple[tuple[Topic, re.Pattern[str]], ...]
    chronic: re.Pattern[str]
    follow_ups: Mapping[Topic, tuple[str, ...]]
    said: tuple[tuple[re.Pattern[str], str], ...]  # a set phrase, and how it is remembered
    denied: re.Pattern[str]  # beside a set phrase: it was not said of oneself
    fillers: re.Pattern[str]
    unsaid: re.Pattern[str]  # marks what is no statement
    findings: Mapping[str, str]  # a finding's code, and how its presence is remembered
    forget: re.Pattern[str]  # asks to forget: group `ask` the request, the whole match also what it names

    def numbered(self, text: str) -> str:
        """The text with number words as digits."""
        return self.number.sub(lambda match: self.numbers[match.group(1)], text)


@cache
def vocabulary_for(language: Language) -> Vocabulary:
    """The language's vocabulary, compiled once. Raises MemoryVocabularyError."""
    path = settings().dialogs_dir / f"memory.{language}.yaml"
    try:
        return _compiled(_VocabularyFile.model_validate(YAML(typ="safe").load(path.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise MemoryVocabularyError(f"{path}: cannot be read ({' '.join(str(error).split())}).") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise MemoryVocabularyError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    except re.error as error:
        raise MemoryVocabularyError(f"{path}: {error.pattern!r} is not a regular expression ({error}).") from None


def _compiled(file: _VocabularyFile) -> Vocabulary:
    """Longer expressions are tried first, so that a part never hides the whole."""

    def words(expressions: Sequence[str]) -> re.Pattern[str]:
        border = r"\b" if file.language is Language.ENGLISH else ""
        joined = "|".join(sorted(expressions, key=len, reverse=True))
        return re.compile(rf"{border}(?:{joined}){border}" if joined else r"(?!)")

    return Vocabulary(
        numbers={word: str(number) for word, number in file.numbers.items()},
        number=re.compile(
            rf"(?<!\w)({'|'.join(sorted(file.numbers, key=len, reverse=True))})" + (file.number_before or r"\b")
        ),
        ended=words(file.ended),
        fine=words(file.fine),
        troubles=tuple((name, words(each)) for name, each in file.troubles.items()),
        hardly=words(file.hardly),
        still=words(file.still),
        planned=words(file.planned),
        medicine=words(file.medicine),
        people=words(file.people),
        death=words(file.death),
        values=tuple((kind, name, words(each)) for kind, of in file.values.items() for name, each in of.items()),
        kinds=tuple((kind, name, words(each)) for kind, of in file.kinds.items() for name, each in of.items()),
        concepts=tuple((name, words(each)) for name, each in file.concepts.items()),
        abilities=frozenset(file.abilities),
        single=frozenset(file.single),
        persons=frozenset(file.persons),
        stop=re.compile("|".join(file.stop)),
        topics=tuple((topic, words(each)) for topic, each in file.topics.items()),
        chronic=words(file.chronic),
        forget=re.compile(rf"{file.forget_names}(?P<ask>{'|'.join(file.forget)})", re.IGNORECASE),
        follow_ups={topic: tuple(each) for topic, each in file.follow_ups.items()},
        said=tuple((re.compile(each.say, re.IGNORECASE), each.text) for each in file.said),
        denied=words(file.denied),
        fillers=re.compile(rf"(?<!\w)(?:{'|'.join(sorted(file.fillers, key=len, reverse=True))})(?!\w)", re.IGNORECASE),
        unsaid=words(file.unsaid),
        findings=file.findings,
    )
