"""What can be set or run is documented."""

import re
from pathlib import Path

import typer.main

from carecall.cli import app
from carecall.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]


def test_every_setting_is_documented_with_its_default() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    documented = set(re.findall(r"^\| `CARECALL_([A-Z_]+)`", page, re.MULTILINE))
    assert documented == {name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, str | int | float) and field.default != "" and not isinstance(field.default, bool):
            assert re.search(rf"`CARECALL_{name.upper()}` \| `{re.escape(str(field.default))}`", page), name


def test_every_command_is_documented() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    missing = [name for name in commands if f"carecall {name}" not in text]
    assert missing == []


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
