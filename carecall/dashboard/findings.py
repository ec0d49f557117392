"""Findings in words: what each is called, and what its value says, in the viewer's language."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from carecall.dashboard.words import Words, catalog
from carecall.dialog.definition import Dialog, Question
from carecall.dialog.files import DialogFileError, find_dialog
from carecall.domain.finding import AnswerType, FindingValue, Missing, Ternary, Unit
from carecall.domain.language import Language


@cache
def known_dialog(dialogs_dir: Path, dialog_id: str, language: Language) -> Dialog | None:
    """The dialog as it is now; None when it is no longer there. Reads a file the first time."""
    try:
        return find_dialog(dialogs_dir, f"{dialog_id}.{language}")
    except DialogFileError:
        return None


@dataclass(frozen=True, slots=True)
class FindingWords:
    """``dialog`` is the one that the findings were asked by, when it is known."""

    words: Words
    dialog: Dialog | None = None

    def label(self, code: str) -> str:
        """A short name; of a question that we have no name for, its wording."""
        texts = catalog(self.words.language)
        if f"finding.{code}" in texts:
            return texts[f"finding.{code}"]
        question = self.question(code)
        return question.ask[0] if question else code.replace("_", " ")

    def question(self, code: str) -> Question | None:
        agenda = self.dialog.agenda if self.dialog else ()
        return next((question for question in agenda if question.code == code), None)

    def unit(self, code: str, unit: Unit | None) -> Unit | None:
        """The finding's unit, else the one that its question asks for."""
        question = self.question(code)
        return unit or (question.unit if question else None)

    def kind(self, code: str, value: FindingValue) -> AnswerType:
        """What kind of value belongs there; of what no question asks for, told from the value."""
        question = self.question(code)
        if question:
            return question.type
        if isinstance(value, int | float):
            return AnswerType.NUMBER
        plain = isinstance(value, str) and not isinstance(value, Ternary | Missing)
        return AnswerType.OPEN if plain else AnswerType.YES_NO

    def value(self, code: str, value: FindingValue, unit: Unit | None) -> str:
        match value:
            case Ternary() | Missing():
                return self.words(f"value.{value.value}")
            case str():
                question = self.question(code)
                labels = {choice.id: choice.label for choice in question.choices} if question else {}
                return labels.get(value, value)
            case _:
                return self._number(code, value, unit)

    def bad(self, code: str, value: FindingValue) -> bool:
        """Whether the value is bad news."""
        question = self.question(code)
        return question is not None and isinstance(value, str) and str(value) in question.bad

    def _number(self, code: str, value: float, unit: Unit | None) -> str:
        question = self.question(code)
        if question and question.type is AnswerType.DURATION_DAYS:
            return self.words("value.days", count=int(value))
        unit = self.unit(code, unit)
        return self.words(f"unit.{unit.value}", value=f"{value:g}") if unit else f"{value:g}"
