"""The pages' words: both languages say everything, nothing is said that no page uses, and Korean is Korean."""

import re
import string
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import carecall.dashboard
from carecall.dashboard.words import catalog
from carecall.domain.language import Language

ROOM = Path(carecall.dashboard.__file__).parent
LATIN = re.compile(r"[A-Za-z][A-Za-z0-9+-]*")
NO_WORD = re.compile(
    r"\{[^}]*\}|°[CF]|(Asia|America)/\w+_?[A-Za-z]*|[a-z]+@example\.org|\.xlsx|“Ad hoc”|\b(ko|en)\b"
    r"|\bcarecall( (db|models|upgrade|fetch|up|work|doctor))+",
    re.ASCII,
)
KEY = r"[a-z][a-z0-9_]*\.[a-z0-9_.-]*"
# What Koreans write in Latin letters too: names of products and formats, and commands.
MEANT = frozenset(
    """CareCall AI API CSV Excel FHIR FreeOTP GiB Google JSON MB Microsoft Authenticator OpenAPI PDF QR R4 UTC YAML
    ZIP""".split()  # noqa: SIM905
)


@cache
def sources() -> str:
    """Everything that may name a key."""
    files = [*ROOM.rglob("*.html"), *ROOM.rglob("*.py"), *ROOM.rglob("*.js")]
    return "\n".join(file.read_text() for file in sorted(files) if file.name != "words.py")


@cache
def named() -> frozenset[str]:
    """What looks like a key, or like the beginning of one that a page completes: ``"today.state_" ~ state``."""
    return frozenset(re.findall(rf"""["'`]({KEY})""", sources()))


def asked() -> Iterator[str]:
    """What stands in the brackets of ``words(…)``."""
    for call in re.finditer(r"\bwords\(", sources()):
        depth, end = 1, call.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(sources()[end], 0)
            end += 1
        yield from re.findall(rf"""["']({KEY})""", sources()[call.end() : end])


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def latin(text: str) -> set[str]:
    return set(LATIN.findall(NO_WORD.sub("", text))) - MEANT


def test_both_languages_have_the_same_texts_with_the_same_places() -> None:
    english, korean = catalog(Language.ENGLISH), catalog(Language.KOREAN)
    singular = {key for key in english.keys() - korean.keys() if key.endswith(".one")}  # Korean has no plural
    assert english.keys() - singular == korean.keys()
    assert {key.removesuffix(".one") + ".other" for key in singular} <= korean.keys()
    unlike = [key for key in korean if places(english[key]) != places(korean[key])]
    assert [key for key in unlike if not key.endswith(".one")] == []  # one may be a word


def test_every_text_that_a_page_asks_for_is_there() -> None:
    texts = catalog(Language.ENGLISH)
    missing = [
        key
        for key in asked()
        if key not in texts
        and f"{key}.other" not in texts
        and not (key.endswith(("_", ".")) and any(text.startswith(key) for text in texts))
    ]
    assert missing == []


def test_no_text_is_left_that_no_page_uses() -> None:
    beginnings = tuple(key for key in named() if key.endswith(("_", ".")))
    unused = [
        key
        for key in catalog(Language.ENGLISH)
        if not ({key, key.removesuffix(".one").removesuffix(".other")} & named() or key.startswith(beginnings))
    ]
    assert unused == []


@pytest.mark.parametrize("language", Language)
def test_no_key_stands_in_two_files(language: Language) -> None:
    files = (ROOM / "locale" / language).glob("*.yaml")
    assert sum(len(YAML(typ="safe").load(file.read_text())) for file in files) == len(catalog(language))


@pytest.mark.parametrize("language", Language)
def test_every_text_is_a_text_that_says_something(language: Language) -> None:
    assert [key for key, text in catalog(language).items() if not isinstance(text, str) or not text.strip()] == []


def test_korean_texts_are_written_in_korean() -> None:
    assert {key: latin(text) for key, text in catalog(Language.KOREAN).items() if latin(text)} == {}
