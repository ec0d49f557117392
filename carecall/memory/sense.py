"""What a remembered sentence is about, as far as two of them can be compared. Vocabulary: ``dialogs/memory.*.yaml``."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from carecall.domain.language import Language
from carecall.errors import CareCallError
from carecall.memory import korean_words
from carecall.settings import settings


# What follows a sentence's subject in English, so that the first word is not its verb.
_AFTER_SUBJECT = re.compile(
    r" (?:is|was|are|were|has|had|have|can|came|comes|goes|went|flew|ran|died|lives|also|no|still)\b"
)


class MemoryVocabularyError(CareCallError):
    """The vocabulary of memories is missing or wrong."""

    code = "memory_vocabulary"


class Tone(StrEnum):
    """How the thing a sentence is about stands."""

    ENDED = "ended"  # over, or not done
    FINE = "fine"
    TROUBLE = "trouble"
    HARDLY = "hardly"  # little or seldom
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Sense:
    """A sentence, taken apart."""

    text: str
    subjects: frozenset[str]  # what it is about
    values: frozenset[tuple[str, str]]  # what it says of that: kind of value and value
    tone: Tone
    troubles: frozenset[str]  # kinds of trouble
    still: bool
    planned: bool

    def differs(self, other: "Sense") -> bool:
        """Whether both give a value of the same kind, and not the same one."""
        kinds = {kind for kind, _ in self.values} & {kind for kind, _ in other.values}
        return any(self._of(kind) != other._of(kind) for kind in kinds)

    def adds_to(self, other: "Sense") -> bool:
        """Whether it gives a value of a kind that the other has not."""
        return bool({kind for kind, _ in self.values} - {kind for kind, _ in other.values})

    def _of(self, kind: str) -> set[str]:
        return {value for each, value in self.values if each == kind}


def sense(text: str, language: Language) -> Sense:
    """Take a sentence apart. Safe for any text."""
    vocabulary = vocabulary_for(language)
    words = vocabulary.numbered(_normal(text))
    values, marks = _found(vocabulary.values, words)
    kinds, taken = _found(vocabulary.kinds, words)
    subjects = {kind for kind, _ in kinds}
    for name, pattern in vocabulary.concepts:
        for match in pattern.finditer(words):
            if not _overlaps(match.span(), taken):
                taken.append(match.span())
                subjects.add(name)
    troubles = {name for name, pattern in vocabulary.troubles if _mark(pattern, words, marks)}
    still = _mark(vocabulary.still, words, marks)
    planned = _mark(vocabulary.planned, words, marks)
    hardly = _mark(vocabulary.hardly, words, marks)
    person = bool(vocabulary.people.search(words))
    fine = _mark(vocabulary.fine, words, marks)
    ended = _mark(vocabulary.ended, words, marks) and not (person and vocabulary.death.search(words))
    medicine = _mark(vocabulary.medicine, words, marks)
    verbs = set()
    for stem, start, end, is_verb in _stems(words, language):
        if _overlaps((start, end), taken + marks) or any(map(vocabulary.stop.fullmatch, (stem, words[start:end]))):
            continue
        if stem.isdigit():
            values.add(("count", stem))
        else:
            (verbs if is_verb else subjects).add(stem)
    subjects = subjects or verbs
    if medicine:
        subjects = {f"medicine {each}" for each in subjects} or {"medicine"}
    return Sense(
        text=text,
        subjects=frozenset(subjects),
        values=frozenset(values | kinds),
        tone=_tone(ended, fine, bool(troubles), hardly, still),
        troubles=frozenset(troubles),
        still=still,
        planned=planned and not ended,
    )


def _found(
    values: Sequence[tuple[str, str, re.Pattern[str]]], words: str
) -> tuple[set[tuple[str, str]], list[tuple[int, int]]]:
    """The values that are given, kind and value, and where."""
    found = set()
    taken: list[tuple[int, int]] = []
    for kind, value, pattern in values:
        for match in pattern.finditer(words):
            if not _overlaps(match.span(), taken):
                taken.append(match.span())
                found.add((kind, value.format(*filter(None, match.groups()))))
    return found, taken


def _tone(ended: bool, fine: bool, trouble: bool, hardly: bool, still: bool) -> Tone:
    if ended:
        return Tone.ENDED
    if hardly:
        return Tone.HARDLY
    if trouble:
        return Tone.TROUBLE
    return Tone.FINE if fine and not still else Tone.PLAIN


def _mark(pattern: re.Pattern[str], words: str, marks: list[tuple[int, int]]) -> bool:
    """Whether the pattern is there; where it is, no word is a subject."""
    spans = [match.span() for match in pattern.finditer(words)]
    marks.extend(spans)
    return bool(spans)


def _overlaps(span: tuple[int, int], taken: Sequence[tuple[int, int]]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in taken)


def _stems(words: str, language: Language) -> Iterator[tuple[str, int, int, bool]]:
    """Content words: stem, start and end, and whether it is a verb that only counts where nothing else does."""
    if language is Language.KOREAN:
        yield from korean_words.stems(words)
        return
    for match in re.finditer(r"[a-z][a-z'-]*|\d+", words):
        leads = (
            match.start() == 0 and match.group(0).endswith(("s", "ed")) and not _AFTER_SUBJECT.match(words, match.end())
        )
        yield english_stem(match.group(0)), match.start(), match.end(), leads


def english_stem(word: str) -> str:
    """The word without the endings of plural, third person, past and -ing; alike for forms of the same word."""
    word = word.removesuffix("'s").removesuffix("'")
    for ending, left in (("ies", "y"), ("ied", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", ""), ("s", "")):
        if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= 3:
            word = word[: -len(ending)] + left
            break
    word = word.removesuffix("e") if len(word) > 3 else word
    return word[:-1] if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "ls" else word


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text).replace("’", "'").lower()


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
    stop: list[str]


@dataclass(frozen=True, slots=True)
class _Vocabulary:
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
    stop: re.Pattern[str]

    def numbered(self, text: str) -> str:
        """The text with number words as digits."""
        return self.number.sub(lambda match: self.numbers[match.group(1)], text)


@cache
def vocabulary_for(language: Language) -> _Vocabulary:
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


def _compiled(file: _VocabularyFile) -> _Vocabulary:
    """Longer expressions are tried first, so that a part never hides the whole."""

    def words(expressions: Sequence[str]) -> re.Pattern[str]:
        border = r"\b" if file.language is Language.ENGLISH else ""
        joined = "|".join(sorted(expressions, key=len, reverse=True))
        return re.compile(rf"{border}(?:{joined}){border}" if joined else r"(?!)")

    return _Vocabulary(
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
        stop=re.compile("|".join(file.stop)),
    )
