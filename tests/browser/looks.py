"""What every screen must bear: light and dark, wide and narrow, the rules of WCAG 2.2 AA, and nothing cut off."""

import re
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from desks import NARROW, WIDE
from playwright.sync_api import Page

RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "resultTypes": ["violations"],
}


def looked_at(page: Page, name: str, pictures: Path) -> None:
    """Takes the pictures, and fails on what the rules find."""
    for look in ("light", "dark"):
        page.emulate_media(color_scheme=look)
        for width, viewport in (("wide", WIDE), ("narrow", NARROW)):
            page.set_viewport_size(viewport)  # type: ignore[arg-type]
            page.screenshot(path=pictures / f"{name}.{look}.{width}.png", full_page=width == "narrow")
            assert wrong_with(page) == [], f"{name}, {look}, {width}"
            assert cut_off(page) == [], f"{name}, {look}, {width}"


def wrong_with(page: Page) -> list[str]:
    found: list[dict[str, Any]] = Axe().run(page, options=RULES).response["violations"]
    return [f"{each['id']}: {node['html'][:200]} ({summary(node)})" for each in found for node in each["nodes"]]


def summary(node: dict[str, Any]) -> str:
    return re.sub(r"\s+", " ", node["failureSummary"])[:200]


def cut_off(page: Page) -> list[str]:
    """What makes the page itself wider than the screen; a table may scroll in its own box."""
    found: list[str] = page.evaluate(
        """() => document.documentElement.scrollWidth <= window.innerWidth ? [] :
        [...document.querySelectorAll('main *, header *')]
          .filter((each) => each.getBoundingClientRect().right > window.innerWidth + 1)
          .filter((each) => !each.closest('.scroll, .skip'))
          .slice(0, 5).map((each) => each.outerHTML.slice(0, 120))"""
    )
    return found
