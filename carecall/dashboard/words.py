"""The words of the pages in each language: ``locale/*.yaml``, a flat mapping from key to text."""

from functools import cache
from pathlib import Path

from ruamel.yaml import YAML

from carecall.domain.language import Language

_LOCALE = Path(__file__).parent / "locale"


@cache
def catalog(language: Language) -> dict[str, str]:
    """Every text by its key. A text may hold ``{names}`` that are filled in, and a key ``.one`` beside ``.other``."""
    texts: dict[str, str] = {}
    for file in sorted((_LOCALE / language).glob("*.yaml")):
        texts |= YAML(typ="safe").load(file.read_text("utf-8")) or {}
    return texts


class Words:
    """Gives texts in one language: ``words("today.title")``, ``words("people.count", count=3)``."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._texts = catalog(language)

    def __call__(self, key: str, /, **values: object) -> str:
        """Raises KeyError for a text that is not there: a test finds every key that a page uses."""
        if "count" in values and key not in self._texts:
            key += ".one" if values["count"] == 1 and f"{key}.one" in self._texts else ".other"
        return self._texts[key].format(**values) if values else self._texts[key]
