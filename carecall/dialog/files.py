"""Loads dialogs from dialogs/*.yaml and refuses wrong ones with every problem named by its line."""

import hashlib
import json
import re
from pathlib import Path
from typing import ClassVar

from pydantic import ValidationError

from carecall.dialog.definition import Dialog
from carecall.dialog.file_checks import content_problems, language_of, shape_problems
from carecall.dialog.file_schema import DialogPart, json_schema, to_dialog
from carecall.dialog.yaml_source import MAX_BYTES, Problem, Value, read_yaml
from carecall.domain.language import Language
from carecall.errors import CareCallError
from carecall.settings import settings

__all__ = ["DialogFileError", "dialog_names", "find_dialog", "json_schema", "load_dialog"]

_NAME = re.compile(r"[a-z][a-z0-9-]*\.(en|ko)")
_FINDINGS = re.compile(r"^findings:[ \t]*(?:#.*)?\n((?:[ \t#].*\n|\n)*)", re.MULTILINE)
_FINDING = re.compile(r"^  ([a-z][a-z0-9_]*):", re.MULTILINE)
_AGENDA = re.compile(rb"^agenda\s*:", re.MULTILINE)


class DialogFileError(CareCallError):
    """A dialog file is missing or wrong. ``problems`` has one line each: where, what is wrong, how to mend it."""

    code: ClassVar[str] = "dialog_file"

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


def load_dialog(path: Path) -> Dialog:
    """The dialog of a file. Raises DialogFileError with every problem that was found."""
    where = "/".join(path.absolute().parts[-2:])
    try:
        source = read_yaml(path)
    except OSError as error:
        raise DialogFileError(f"{where}: cannot be read ({error.strerror}); look at the path and its rights") from None
    problems = list(source.problems)
    part: DialogPart | None = None
    if isinstance(source.value, dict):
        try:
            part = DialogPart.model_validate(source.value)
        except ValidationError as error:
            problems += shape_problems(error, source)
        problems += content_problems(source, path, _lexicon_findings(path.parent, language_of(source, path)))
    elif not problems:
        problems.append(Problem(1, "there is no dialog in this file; start from an example in docs/dialogs.md"))
    if part is None or problems:
        raise DialogFileError(*(f"{where}:{each.line}: {each.text}" for each in sorted(set(problems))))
    return to_dialog(part, _hash(source.value))


def dialog_names(dialogs_dir: Path) -> list[str]:
    """The names (``wellbeing.ko``) of the dialogs in a folder, sorted. A file is a dialog when it has an agenda."""
    return sorted(path.stem for path in dialogs_dir.glob("*.yaml") if _NAME.fullmatch(path.stem) and _has_agenda(path))


def find_dialog(dialogs_dir: Path, name: str) -> Dialog:
    """The dialog of that name. Raises DialogFileError, which for an unknown name lists what there is."""
    path = dialogs_dir / f"{name}.yaml"
    if not _NAME.fullmatch(name) or not path.is_file():
        there = ", ".join(dialog_names(dialogs_dir)) or "none"
        raise DialogFileError(f"there is no dialog named {name!r}; in {dialogs_dir} there are: {there}")
    return load_dialog(path)


def _lexicon_findings(dialogs_dir: Path, language: Language) -> frozenset[str] | None:
    """What understanding hears in any reply: the findings of the lexicon beside the dialog, else of the one in use.

    Read off the lines: to parse all the lexicon's expressions would take longer than all else.
    """
    path = dialogs_dir / f"lexicon.{language}.yaml"
    if not path.is_file():
        path = settings().dialogs_dir / path.name
    try:
        block = _FINDINGS.search(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return frozenset(_FINDING.findall(block[1])) if block else None


def _has_agenda(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _AGENDA.search(file.read(MAX_BYTES)) is not None
    except OSError:
        return False


def _hash(content: Value) -> str:
    canonical = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
