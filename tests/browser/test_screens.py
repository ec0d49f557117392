"""Every screen in both languages, light and dark, wide and narrow: nothing WCAG 2.2 AA forbids, nothing cut off."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from desks import NARROW, WIDE, Desk, Office, OpenDesk
from playwright.sync_api import Page

from carecall.domain.language import Language
from carecall.domain.viewer import Role

pytestmark = pytest.mark.browser

RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "resultTypes": ["violations"],
}
SCREENS: dict[str, Callable[[Office], str]] = {
    "today": lambda office: "/",
    "recipient": lambda office: f"/recipients/{office.troubled.recipient_id}",
    "history": lambda office: f"/recipients/{office.troubled.recipient_id}/history",
    "call": lambda office: f"/calls/{office.troubled.attempt_id}",
    "people": lambda office: "/people",
    "person": lambda office: f"/people/{office.troubled.recipient_id}",
    "person_new": lambda office: "/people/add",
    "people_import": lambda office: "/people/import",
    "person_opt_out": lambda office: f"/people/{office.troubled.recipient_id}/opt-out",
    "campaigns": lambda office: "/campaigns",
    "campaign": lambda office: f"/campaigns/{office.campaign}",
    "campaign_new": lambda office: "/campaigns/add",
    "campaign_edit": lambda office: f"/campaigns/{office.campaign}/edit",
    "plan": lambda office: "/plan",
    "downloads": lambda office: "/downloads",
    "account": lambda office: "/account",
    "account_password": lambda office: "/account/password",
    "account_second_factor": lambda office: "/account/second-factor",
    "admin": lambda office: "/admin",
    "admin_user": lambda office: f"/admin/users/{office.viewer(Role.VIEWER).user_id}",
    "admin_escalation": lambda office: "/admin/escalation",
    "admin_audit": lambda office: "/admin/audit",
    "admin_health": lambda office: "/admin/health",
    "admin_retention": lambda office: "/admin/retention",
    "admin_api_tokens": lambda office: "/admin/api-tokens",
    "api": lambda office: "/api/docs",
    "not_found": lambda office: "/calls/00000000-0000-4000-8000-000000000000",
}


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_can_be_used_by_everybody(
    screen: str, sit_down: OpenDesk, office: Office, language: Language, pictures: Path
) -> None:
    desk = sit_down(Role.ADMIN)
    answer = desk.page.goto(SCREENS[screen](office))
    assert answer is not None
    assert answer.status == (404 if screen == "not_found" else 200)
    looked_at(desk, f"{screen}.{language}", pictures)


def test_signing_in_can_be_used_by_everybody(sit_down: OpenDesk, language: Language, pictures: Path) -> None:
    desk = sit_down(signed_in=False)
    desk.page.goto("/")
    looked_at(desk, f"sign_in.{language}", pictures)
    desk.page.get_by_label(desk.words("sign_in.email")).fill("nobody@hanbit.example")
    desk.page.get_by_label(desk.words("sign_in.password")).fill("not the password")
    desk.button("sign_in.button").click()
    desk.page.get_by_role("alert").wait_for()
    looked_at(desk, f"sign_in_wrong.{language}", pictures)


def looked_at(desk: Desk, name: str, pictures: Path) -> None:
    """Takes the pictures, and fails on what the rules find."""
    page = desk.page
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
