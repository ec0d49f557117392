"""Every screen in both languages, light and dark, wide and narrow: nothing WCAG 2.2 AA forbids, nothing cut off."""

import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pyotp
import pytest
from desks import NARROW, Desk, Office, OpenDesk
from looks import cut_off, looked_at, wrong_with
from playwright.sync_api import Locator, expect

from carecall.dashboard.passwords import hash_password
from carecall.domain.finding import Ternary
from carecall.domain.language import Language
from carecall.domain.triage import Alert, Urgency
from carecall.domain.turn import Speaker, Turn
from carecall.domain.viewer import Role, Viewer
from carecall.simulation.dashboard_seed import PASSWORD

pytestmark = pytest.mark.browser

TALLEST = 60  # pixels that the head of a narrow screen may take
SCREENS: dict[str, Callable[[Office], str]] = {
    "today": lambda office: "/",
    "recipient": lambda office: f"/recipients/{office.troubled.recipient_id}",
    "history": lambda office: f"/recipients/{office.troubled.recipient_id}/history",
    "call": lambda office: f"/calls/{office.troubled.attempt_id}",
    "people": lambda office: "/people",
    "person": lambda office: f"/people/{office.troubled.recipient_id}",
    "person_new": lambda office: "/people/add",
    "people_import": lambda office: "/people/import",
    "person_erase": lambda office: f"/people/{office.troubled.recipient_id}/erase",
    "person_opt_out": lambda office: f"/people/{office.troubled.recipient_id}/opt-out",
    "campaigns": lambda office: "/campaigns",
    "campaign": lambda office: f"/campaigns/{office.campaign}",
    "campaign_new": lambda office: "/campaigns/add",
    "campaign_edit": lambda office: f"/campaigns/{office.campaign}/edit",
    "campaign_plan": lambda office: f"/campaigns/{office.campaign}/plan",
    "plan": lambda office: "/plan",
    "talk": lambda office: "/talk",
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
    looked_at(desk.page, f"{screen}.{language}", pictures)


def test_signing_in_can_be_used_by_everybody(sit_down: OpenDesk, language: Language, pictures: Path) -> None:
    desk = sit_down(signed_in=False)
    desk.page.goto("/")
    looked_at(desk.page, f"sign_in.{language}", pictures)
    desk.page.get_by_label(desk.words("sign_in.email")).fill("nobody@hanbit.example")
    desk.page.get_by_label(desk.words("sign_in.password")).fill("not the password")
    desk.button("sign_in.button").click()
    desk.page.get_by_role("alert").wait_for()
    looked_at(desk.page, f"sign_in_wrong.{language}", pictures)


def test_the_second_factor_can_be_used_by_everybody(
    sit_down: OpenDesk, office: Office, language: Language, pictures: Path
) -> None:
    email, secret = f"second.{uuid.uuid4().hex[:8]}@hanbit.example", pyotp.random_base32()
    user = office.store.users.add(email, Role.VIEWER, hash_password(PASSWORD), language=language)
    somebody = Viewer(user, office.viewer(Role.ADMIN).organisation_id, Role.VIEWER, language, "UTC")
    office.store.users.set_second_factor(somebody, secret)
    desk = sit_down(signed_in=False)
    desk.go("/sign-in")
    desk.page.get_by_label(desk.words("sign_in.email")).fill(email)
    desk.page.get_by_label(desk.words("sign_in.password")).fill(PASSWORD)
    desk.button("sign_in.button").click()
    code = desk.page.get_by_label(desk.words("sign_in.code"))
    expect(code).to_be_focused()
    looked_at(desk.page, f"sign_in_code.{language}", pictures)
    code.fill(pyotp.TOTP(secret).at(int(time.time()) - 3600))
    desk.button("sign_in.continue").click()
    expect(desk.says("sign_in.wrong_code")).to_be_visible()
    looked_at(desk.page, f"sign_in_code_wrong.{language}", pictures)


def test_a_page_that_is_not_open_to_somebody_can_be_used_by_everybody(
    sit_down: OpenDesk, language: Language, pictures: Path
) -> None:
    desk = sit_down(Role.CARE_WORKER)
    answer = desk.page.goto("/admin")
    assert answer is not None
    assert answer.status == 403
    looked_at(desk.page, f"forbidden.{language}", pictures)


def test_the_end_of_a_session_can_be_used_by_everybody(
    sit_down: OpenDesk, office: Office, language: Language, pictures: Path
) -> None:
    desk = sit_down()
    desk.go("/")
    mine = desk.page.locator("#needs article").first
    mine.locator("summary", has_text=desk.words("today.do_note")).click()
    mine.get_by_role("textbox", name=desk.words("today.note_words"), exact=True).fill("한 번 더 전화드리겠습니다.")
    desk.end_session()
    desk.button("today.save", mine).first.click()
    expect(desk.page.get_by_role("dialog")).to_contain_text(desk.words("sign_in.again_dialog"))
    looked_at(desk.page, f"session_over.{language}", pictures)
    with desk.page.expect_navigation():
        send_without_script(mine.locator("details[open] form"))
    expect(desk.page.get_by_role("heading", level=1)).to_have_text(desk.words("sign_in.again_title"))
    looked_at(desk.page, f"session_over_page.{language}", pictures)


def test_coming_second_can_be_used_by_everybody(
    sit_down: OpenDesk, office: Office, language: Language, pictures: Path
) -> None:
    desk = sit_down(Role.SUPERVISOR)
    deaf(desk)
    desk.go("/")
    mine = desk.page.locator("#needs article").filter(has=desk.page.locator("button[id$=acknowledge]")).first
    key = mine.get_attribute("id") or ""
    mine = desk.page.locator(f"#{key}")
    first = office.viewer(Role.CARE_WORKER)
    office.store.care.acknowledge(first, uuid.UUID(key.removeprefix("alert-")))
    told = desk.words("today.conflict_acknowledged", name=office.store.users.me(first).name)
    with desk.page.expect_response(lambda answer: answer.status == 409):
        mine.locator(f"#{key}-acknowledge").click()
    expect(mine).to_contain_text(told)
    looked_at(desk.page, f"today_second.{language}", pictures)


def test_a_correction_that_came_second_can_be_used_by_everybody(
    sit_down: OpenDesk, office: Office, language: Language, pictures: Path
) -> None:
    desk = sit_down()
    attempt = office.cases()[0].attempt_id
    desk.go(f"/calls/{attempt}")
    finding = desk.page.locator("#finding-slept_well")
    finding.locator("summary").click()
    finding.get_by_label(desk.words("value.unknown")).check()
    finding.get_by_label(desk.words("call.reason")).fill("분명하지 않습니다.")
    seen = finding.locator("[name=seen]").get_attribute("value") or ""
    reason = f"잘 주무셨습니다. {language}"
    office.store.care.correct(office.viewer(Role.ADMIN), attempt, "slept_well", Ternary.YES, reason, seen=seen)
    desk.button("call.save_correction", finding).click()
    expect(finding).to_contain_text(desk.words("call.conflict"))
    looked_at(desk.page, f"call_second.{language}", pictures)


def test_a_call_that_is_held_can_be_used_by_everybody(
    sit_down: OpenDesk, office: Office, language: Language, pictures: Path
) -> None:
    desk = sit_down()
    call = office.begin_call(language)
    office.store.calls.add_turn(call.attempt_id, Turn(0, Speaker.AGENT, "안녕하세요?", 0.0, 1.0))
    office.store.calls.add_turn(call.attempt_id, Turn(1, Speaker.RECIPIENT, "방금 넘어졌어요.", 1.5, 2.5))
    fall = Alert("fall", Urgency.EMERGENCY, "방금 넘어졌다고 했습니다.", ())
    office.store.calls.raise_alert(call.attempt_id, fall)
    desk.go(f"/calls/{call.attempt_id}")
    expect(desk.page.locator(".banner")).to_be_visible()
    looked_at(desk.page, f"call_held.{language}", pictures)
    desk.go("/")
    expect(desk.page.locator("#alarm a")).to_be_visible()
    looked_at(desk.page, f"today_alarm.{language}", pictures)
    office.end_call(call)


def test_what_comes_of_a_list_of_people_can_be_used_by_everybody(
    sit_down: OpenDesk, language: Language, pictures: Path, tmp_path: Path
) -> None:
    desk = sit_down(Role.SUPERVISOR)
    number = uuid.uuid4().int % 1_000
    people = [f"도라온{number},010-4{number:03}-{line:04},ko" for line in range(12)]
    people[3] = f"도라온{number},010-7,ko"
    people[7] = f",010-4{number:03}-9999,ko"
    file = tmp_path / "people.csv"

    def send(text: str) -> None:
        file.write_text(text)
        desk.go("/people/import")
        desk.page.locator("#file").set_input_files(file)
        desk.page.locator("#country").select_option("KR")
        desk.button("people.upload.check").click()

    send("colour,size\nblue,10\n")
    expect(desk.says("people.upload.refused")).to_be_visible()
    looked_at(desk.page, f"people_import_refused.{language}", pictures)
    send("name,phone,language\n" + "\n".join(people))
    expect(desk.says("people.upload.found", ok=10, known=0, wrong=2)).to_be_visible()
    looked_at(desk.page, f"people_import_checked.{language}", pictures)
    desk.button("people.upload.confirm", count=10).click()
    expect(desk.says("people.upload.result", added=10, known=0, changed=0, wrong=2)).to_be_visible()
    looked_at(desk.page, f"people_import_done.{language}", pictures)


def test_a_form_with_mistakes_can_be_used_by_everybody(sit_down: OpenDesk, language: Language, pictures: Path) -> None:
    desk = sit_down(Role.ADMIN)
    desk.go("/people/add")
    desk.page.get_by_label(desk.words("people.field.phone")).fill("010-7")
    desk.button("people.add_button").click()
    expect(desk.page.get_by_role("alert")).to_be_visible()
    looked_at(desk.page, f"person_new_wrong.{language}", pictures)


def test_what_is_shown_once_can_be_used_by_everybody(sit_down: OpenDesk, language: Language, pictures: Path) -> None:
    desk = sit_down(Role.ADMIN)
    desk.go("/admin")
    desk.page.get_by_label(desk.words("sign_in.email")).fill(f"new.{uuid.uuid4().hex[:8]}@hanbit.example")
    desk.page.get_by_label(desk.words("account.name")).fill("남궁민서")
    desk.button("admin.add_user").click()
    expect(desk.page.locator("code.large")).to_be_visible()
    looked_at(desk.page, f"admin_user_added.{language}", pictures)
    desk.go("/admin/api-tokens")
    desk.page.locator("[name=name]").fill(f"Ward {uuid.uuid4().hex[:8]}")
    desk.page.locator("main form button").first.click()
    expect(desk.page.locator("code").first).to_be_visible()
    looked_at(desk.page, f"admin_api_token_given.{language}", pictures)


def test_a_test_call_without_a_microphone_can_be_used_by_everybody(
    sit_down: OpenDesk, language: Language, pictures: Path
) -> None:
    desk = sit_down()
    desk.go("/talk")
    desk.page.get_by_label(desk.words("talk.name")).fill("순자")
    desk.button("talk.begin").click()
    expect(desk.page.locator("#talk-state")).to_have_text(desk.words("talk.denied"))
    looked_at(desk.page, f"talk_denied.{language}", pictures)


def test_the_menu_of_a_narrow_screen_is_opened_and_shut_by_the_keyboard(
    sit_down: OpenDesk, language: Language, pictures: Path
) -> None:
    desk = sit_down(Role.ADMIN, viewport=NARROW)
    desk.go("/people")
    box = desk.page.locator("header").bounding_box()
    assert box is not None
    assert box["height"] <= TALLEST
    menu, campaigns = desk.button("layout.menu"), desk.link("layout.campaigns")
    expect(campaigns).to_be_hidden()
    desk.tab_to(menu)
    desk.press("Enter")
    expect(campaigns).to_be_visible()
    expect(desk.button("layout.sign_out")).to_be_visible()
    for look in ("light", "dark"):
        desk.page.emulate_media(color_scheme=look)
        desk.page.screenshot(path=pictures / f"menu.{language}.{look}.narrow.png")
        assert wrong_with(desk.page) == [], look
        assert cut_off(desk.page) == [], look
    desk.press("Escape")
    expect(campaigns).to_be_hidden()
    expect(menu).to_be_focused()
    desk.press("Enter", "Tab")
    expect(desk.link("layout.today")).to_be_focused()
    desk.tab_to(campaigns)
    desk.press("Enter")
    expect(desk.page.get_by_role("heading", level=1)).to_have_text(desk.words("campaigns.title"))


def deaf(desk: Desk) -> None:
    """As a screen that has not heard of the news yet."""
    desk.expected = ("SSE", "fetch")
    desk.context.route("**/events*", lambda route: route.abort())


def send_without_script(form: Locator) -> None:
    form.evaluate("form => form.submit()")
