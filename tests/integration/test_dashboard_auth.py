"""Signing in to the dashboard, staying signed in, and what an account can do about itself."""

import gzip
import time
import uuid
from datetime import timedelta
from pathlib import Path

import httpx
import pyotp
import pytest
from dashboard_office import PASSWORD, Office, open_office
from pydantic import SecretStr
from sqlmodel import select

from carecall.dashboard.dashboard import static_url
from carecall.dashboard.passwords import first_password, hash_password, is_outdated, wrong_with
from carecall.dashboard.security import LONGEST_BODY
from carecall.dashboard.sign_in import local
from carecall.domain.viewer import Role
from carecall.settings import Environment
from carecall.store.tables import AuditRow, UserRow, WebSessionRow
from carecall.store.users import pause_after, session_digest

EMAIL = "care_worker@here.test"
NEW_PASSWORD = "another walk along the sea"


async def sign_in(
    browser: httpx.AsyncClient, email: str = EMAIL, password: str = PASSWORD, **more: str
) -> httpx.Response:
    return await browser.post("/sign-in", data={"email": email, "password": password, **more})


async def is_signed_in(browser: httpx.AsyncClient) -> bool:
    return (await browser.get("/account")).status_code == 200


def row(office: Office, role: Role = Role.CARE_WORKER) -> UserRow:
    with office.store._database.reading() as session:
        return session.exec(select(UserRow).where(UserRow.id == office.ours.users[role].user_id)).one()


class TestSigningIn:
    async def test_the_right_password_leads_to_the_page_that_was_asked_for(self, office: Office) -> None:
        async with office.browser() as browser:
            asked = await browser.get("/account?done=details")
            assert (asked.status_code, asked.headers["location"]) == (303, "/sign-in?next=%2Faccount%3Fdone%3Ddetails")
            assert 'value="/account?done=details"' in (await browser.get(asked.headers["location"])).text
            answer = await sign_in(browser, next="/account?done=details")
            assert (answer.status_code, answer.headers["location"]) == (303, "/account?done=details")
            assert EMAIL in (await browser.get("/account")).text

    async def test_an_address_is_known_in_any_case(self, office: Office) -> None:
        async with office.browser() as browser:
            assert (await sign_in(browser, " Care_Worker@HERE.test ")).status_code == 303

    async def test_a_wrong_password_and_an_unknown_address_are_told_in_the_same_words(self, office: Office) -> None:
        async with office.browser() as browser:
            wrong = await sign_in(browser, password="not the password")
            unknown = await sign_in(browser, "nobody@here.test", "not the password")
        assert wrong.status_code == unknown.status_code == 401
        assert wrong.text.replace(EMAIL, "") == unknown.text.replace("nobody@here.test", "")
        assert "set-cookie" not in wrong.headers

    async def test_an_unknown_address_costs_as_much_time_as_a_known_one(self, office: Office) -> None:
        async with office.browser() as browser:
            await sign_in(browser, "nobody@here.test", "x")  # the first one makes the hash to compare with

            async def least_s(email: str) -> float:
                took = []
                for _ in range(3):
                    begun = time.perf_counter()
                    await sign_in(browser, email, "not the password")
                    took.append(time.perf_counter() - begun)
                return min(took)

            known, unknown = await least_s(EMAIL), await least_s("nobody@here.test")
        assert unknown > known / 3

    async def test_a_deactivated_user_is_like_an_unknown_one(self, office: Office) -> None:
        office.store.users.operator_sets_active(EMAIL, False, actor="terminal")
        async with office.browser() as browser:
            assert (await sign_in(browser)).status_code == 401
        assert not await is_signed_in(office.care_worker)

    @pytest.mark.parametrize(
        "elsewhere",
        [
            "https://evil.test/",
            "//evil.test/",
            "/\\evil.test",
            "\\\\evil.test",
            "/\t/evil.test",
            "/\n/evil.test",
            "javascript:alert(1)",
            "evil.test",
            "",
        ],
    )
    async def test_nobody_is_led_elsewhere(self, office: Office, elsewhere: str) -> None:
        assert local(elsewhere) == "/"
        async with office.browser() as browser:
            assert (await sign_in(browser, next=elsewhere)).headers["location"] == "/"
        assert (await office.viewer.get("/sign-in", params={"next": elsewhere})).headers["location"] == "/"

    async def test_the_page_speaks_the_language_of_the_browser_or_what_was_chosen(self, office: Office) -> None:
        async with office.browser() as browser:
            assert 'lang="ko"' in (await browser.get("/sign-in", headers={"Accept-Language": "ko-KR,en;q=0.5"})).text
            assert '<html lang="en"' in (await browser.get("/sign-in", headers={"Accept-Language": "fr"})).text
            assert '<html lang="ko"' in (await browser.get("/sign-in?language=ko")).text

    async def test_a_password_hashed_with_weaker_parameters_is_hashed_anew(self, office: Office) -> None:
        from argon2 import PasswordHasher

        weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
        with office.store._database.writing() as session:
            session.get_one(UserRow, office.ours.users[Role.CARE_WORKER].user_id).password_hash = weak
        async with office.browser() as browser:
            assert (await sign_in(browser)).status_code == 303
        assert not is_outdated(row(office).password_hash)
        assert row(office).password_hash.startswith("$argon2id$")

    async def test_signing_in_is_told_in_the_audit_trail_without_the_address(self, office: Office) -> None:
        async with office.browser() as browser:
            await sign_in(browser, password="wrong")
            await sign_in(browser)
        with office.store._database.reading() as session:
            entries = session.exec(select(AuditRow)).all()
        assert {"user.sign_in_refused", "user.signed_in"} <= {entry.action for entry in entries}
        assert not any(EMAIL in f"{entry.actor}{entry.subject}{entry.details}" for entry in entries)


class TestTooManyTries:
    async def test_after_five_wrong_tries_even_the_right_password_waits(self, office: Office) -> None:
        async with office.browser() as browser:
            for _ in range(5):
                refused = await sign_in(browser, password="wrong")
            paused = await sign_in(browser)
            assert (paused.status_code, paused.text) == (refused.status_code, refused.text)
            office.clock.pass_(timedelta(seconds=31))
            assert (await sign_in(browser)).status_code == 303
        assert row(office).failures == 0

    async def test_tries_during_the_pause_do_not_make_it_longer(self, office: Office) -> None:
        async with office.browser() as browser:
            for _ in range(9):
                await sign_in(browser, password="wrong")
        assert row(office).failures == 5

    def test_the_pause_grows_to_a_quarter_of_an_hour(self) -> None:
        pauses = [pause_after(failures) for failures in range(3, 12)]
        assert pauses[:2] == [None, None]
        assert [pause.total_seconds() for pause in pauses[2:] if pause] == [30, 60, 120, 240, 480, 900, 900]
        assert pause_after(10_000) == timedelta(minutes=15)

    async def test_one_network_address_cannot_try_many_accounts(self, office: Office) -> None:
        async with office.browser() as browser:
            answers = [await sign_in(browser, f"somebody{n}@here.test", "wrong") for n in range(31)]
            assert [answer.status_code for answer in answers] == [401] * 30 + [429]
            assert (await sign_in(browser)).status_code == 429


class TestCookies:
    async def test_the_cookie_is_for_our_pages_alone(self, office: Office) -> None:
        async with office.browser() as browser:
            cookie = (await sign_in(browser)).headers.get_list("set-cookie")[0]
        assert cookie.startswith("carecall=")
        assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
        token = cookie.partition(";")[0].partition("=")[2]
        assert len(token) == 43  # 256 bits
        with office.store._database.reading() as session:
            assert session.get(WebSessionRow, session_digest(token)) is not None
            assert session.get(WebSessionRow, token) is None

    async def test_in_production_it_needs_https_and_this_very_host(self, tmp_path: Path) -> None:
        in_production = open_office(
            tmp_path,
            environment=Environment.PRODUCTION,
            public_url="https://carecall.test",
            twilio_account_sid="AC0",
            twilio_auth_token=SecretStr("x"),
        )
        async with in_production as office, office.browser() as browser:
            answer = await sign_in(browser)
            cookies = answer.headers.get_list("set-cookie")
            assert cookies[0].startswith("__Host-carecall=")
            assert all("Secure" in cookie and "HttpOnly" in cookie for cookie in cookies)
            assert "Domain" not in cookies[0]
            assert answer.headers["strict-transport-security"] == "max-age=31536000"

    async def test_a_session_that_somebody_else_has_set_is_not_taken_up(self, office: Office) -> None:
        async with office.browser() as browser:
            browser.cookies.set("carecall", "chosen-by-somebody-else", domain="carecall.test", path="/")
            answer = await sign_in(browser)
            assert "chosen-by-somebody-else" not in answer.headers["set-cookie"]
            first = browser.cookies["carecall"]
            await sign_in(browser)
            assert browser.cookies["carecall"] != first
            browser.cookies.set("carecall", first, domain="carecall.test", path="/")
            assert not await is_signed_in(browser)

    async def test_a_session_ends_after_twelve_hours_whatever_is_done(self, office: Office) -> None:
        for _ in range(23):
            office.clock.pass_(timedelta(minutes=31))
            assert await is_signed_in(office.viewer)
        office.clock.pass_(timedelta(minutes=31))
        assert not await is_signed_in(office.viewer)

    async def test_a_session_ends_after_an_hour_in_which_nothing_was_done(self, office: Office) -> None:
        for _ in range(4):  # what a page fetches by itself is nothing that somebody does
            office.clock.pass_(timedelta(minutes=14))
            assert (await office.viewer.get("/account", headers={"HX-Request": "true"})).status_code == 200
        office.clock.pass_(timedelta(minutes=5))
        assert not await is_signed_in(office.viewer)

    async def test_signing_out_ends_the_session_and_not_only_the_cookie(self, office: Office) -> None:
        token = office.viewer.cookies["carecall"]
        answer = await office.viewer.post("/sign-out")
        assert answer.headers["location"] == "/sign-in"
        office.viewer.cookies.set("carecall", token, domain="carecall.test", path="/")
        assert not await is_signed_in(office.viewer)


def next_code(totp: pyotp.TOTP) -> str:
    """A code after the one the second factor was set up with: taken now, and still if a new half minute begins."""
    return totp.at(time.time() + 30)


class TestSecondFactor:
    async def set_up(self, office: Office) -> pyotp.TOTP:
        page = await office.care_worker.get("/account/second-factor")
        secret = page.text.split("<code>")[1].split("</code>")[0].replace(" ", "")
        totp = pyotp.TOTP(secret)
        answer = await office.care_worker.post(
            "/account/second-factor", data={"code": totp.now(), "password": PASSWORD}
        )
        assert answer.headers["location"] == "/account?done=second_factor_on"
        return totp

    async def test_it_counts_only_after_its_code_was_given(self, office: Office) -> None:
        picture = await office.care_worker.get("/account/second-factor/picture.svg")
        assert picture.headers["content-type"] == "image/svg+xml"
        assert picture.headers["cache-control"] == "no-store"
        answer = await office.care_worker.post("/account/second-factor", data={"code": "000000", "password": PASSWORD})
        assert answer.status_code == 422
        assert row(office).totp_secret is None
        await self.set_up(office)
        assert row(office).totp_secret is not None

    async def test_then_the_password_alone_opens_nothing(self, office: Office) -> None:
        totp = await self.set_up(office)
        async with office.browser() as browser:
            assert (await sign_in(browser)).status_code == 200
            assert not await is_signed_in(browser)
            half = browser.cookies["carecall"]
            answer = await browser.post("/sign-in/code", data={"code": next_code(totp), "next": "/account"})
            assert (answer.status_code, answer.headers["location"]) == (303, "/account")
            assert browser.cookies["carecall"] != half
            assert await is_signed_in(browser)

    async def test_a_code_is_good_once(self, office: Office) -> None:
        totp = await self.set_up(office)
        code = next_code(totp)
        async with office.browser() as first, office.browser() as second:
            for browser in (first, second):
                await sign_in(browser)
            assert (await first.post("/sign-in/code", data={"code": code})).status_code == 303
            assert (await second.post("/sign-in/code", data={"code": code})).status_code == 401
            assert not await is_signed_in(second)

    async def test_a_code_of_long_ago_is_not_good(self, office: Office) -> None:
        totp = await self.set_up(office)
        async with office.browser() as browser:
            await sign_in(browser)
            for moment in (time.time() - 90, time.time() + 90):
                assert (await browser.post("/sign-in/code", data={"code": totp.at(moment)})).status_code == 401

    async def test_wrong_codes_pause_the_account_too(self, office: Office) -> None:
        totp = await self.set_up(office)
        async with office.browser() as browser:
            await sign_in(browser)
            for _ in range(5):
                await browser.post("/sign-in/code", data={"code": "12345"})
            assert (await browser.post("/sign-in/code", data={"code": next_code(totp)})).status_code == 401

    async def test_the_code_is_waited_for_ten_minutes(self, office: Office) -> None:
        totp = await self.set_up(office)
        async with office.browser() as browser:
            await sign_in(browser)
            office.clock.pass_(timedelta(minutes=11))
            assert (await browser.post("/sign-in/code", data={"code": next_code(totp)})).status_code == 401

    async def test_it_is_turned_off_with_the_password_only(self, office: Office) -> None:
        await self.set_up(office)
        assert (await office.care_worker.post("/account/second-factor/off", data={"password": "x"})).status_code == 422
        assert row(office).totp_secret is not None
        await office.care_worker.post("/account/second-factor/off", data={"password": PASSWORD})
        assert row(office).totp_secret is None


class TestPassword:
    async def change(self, browser: httpx.AsyncClient, current: str, new: str, again: str = "") -> httpx.Response:
        return await browser.post("/account/password", data={"current": current, "new": new, "again": again or new})

    async def test_a_change_signs_out_everywhere_else(self, office: Office) -> None:
        async with office.signed_in(office.ours.users[Role.CARE_WORKER]) as elsewhere:
            assert await is_signed_in(elsewhere)
            answer = await self.change(office.care_worker, PASSWORD, NEW_PASSWORD)
            assert answer.headers["location"] == "/account?done=password"
            assert not await is_signed_in(elsewhere)
        assert await is_signed_in(office.care_worker)
        async with office.browser() as browser:
            assert (await sign_in(browser)).status_code == 401
            assert (await sign_in(browser, password=NEW_PASSWORD)).status_code == 303

    async def test_it_needs_the_old_one_and_a_good_new_one(self, office: Office) -> None:
        before = row(office).password_hash
        for current, new, again in (
            ("not the old one", NEW_PASSWORD, NEW_PASSWORD),
            (PASSWORD, "short", "short"),
            (PASSWORD, NEW_PASSWORD, "something else entirely"),
            (PASSWORD, PASSWORD, PASSWORD),
            (PASSWORD, EMAIL, EMAIL),
        ):
            assert (await self.change(office.care_worker, current, new, again)).status_code == 422
        assert row(office).password_hash == before

    def test_what_may_not_be_a_password(self) -> None:
        assert wrong_with("elevenchars", EMAIL) == "short"
        assert wrong_with("x" * 129, EMAIL) == "long"
        assert wrong_with("aaaaaaaaaaaaaaa", EMAIL) == "repeated"
        assert wrong_with(first_password(), EMAIL) is None

    async def test_a_password_is_the_same_however_a_keyboard_composes_it(self, office: Office) -> None:
        with office.store._database.writing() as session:
            user = session.get_one(UserRow, office.ours.users[Role.CARE_WORKER].user_id)
            user.password_hash = hash_password("강가를 오래 걷는 산책길")
        async with office.browser() as browser:
            import unicodedata

            decomposed = unicodedata.normalize("NFD", "강가를 오래 걷는 산책길")
            assert (await sign_in(browser, password=decomposed)).status_code == 303

    async def test_signing_out_everywhere_leaves_this_browser(self, office: Office) -> None:
        async with office.signed_in(office.ours.users[Role.CARE_WORKER]) as elsewhere:
            await office.care_worker.post("/account/sign-out-everywhere")
            assert not await is_signed_in(elsewhere)
        assert await is_signed_in(office.care_worker)


class TestHeaders:
    @pytest.mark.parametrize("path", ["/sign-in", "/account", "/admin", "/nowhere"])
    async def test_every_page_says_what_a_browser_may_do_with_it(self, office: Office, path: str) -> None:
        headers = (await office.admin.get(path)).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "strict-transport-security" not in headers

    async def test_files_are_kept_for_ever_and_sent_pressed(self, office: Office) -> None:
        async with office.browser() as browser:
            pressed = await browser.get(static_url("style.css"))
            plain = await browser.get(static_url("style.css"), headers={"Accept-Encoding": "identity"})
            assert pressed.headers["content-encoding"] == "gzip"
            assert pressed.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert pressed.content == plain.content
            assert (await browser.get("/static/000000000000/style.css")).status_code == 404
            assert (
                await browser.get(static_url("style.css").replace("style.css", "..%2fdashboard.py"))
            ).status_code == 404

    async def test_a_page_is_sent_pressed(self, office: Office) -> None:
        async with office.admin.stream("GET", "/admin", headers={"Accept-Encoding": "gzip"}) as answer:
            raw = b"".join([piece async for piece in answer.aiter_raw()])
        assert answer.headers["content-length"] == str(len(raw))
        assert b"care_worker@here.test" in gzip.decompress(raw)


class TestWhereRequestsComeFrom:
    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"Sec-Fetch-Site": "same-origin"}, 303),
            ({"Sec-Fetch-Site": "none"}, 303),
            ({"Sec-Fetch-Site": "same-site"}, 403),
            ({"Sec-Fetch-Site": "cross-site", "Origin": "http://carecall.test"}, 403),
            ({"Sec-Fetch-Site": "", "Origin": "http://carecall.test"}, 303),
            ({"Sec-Fetch-Site": "", "Origin": "http://evil.test"}, 403),
            ({"Sec-Fetch-Site": "", "Origin": "null"}, 403),
            ({"Sec-Fetch-Site": ""}, 403),
        ],
    )
    async def test_only_our_own_pages_sign_anybody_in(
        self, office: Office, headers: dict[str, str], status: int
    ) -> None:
        async with office.browser() as browser:
            answer = await browser.post("/sign-in", data={"email": EMAIL, "password": PASSWORD}, headers=headers)
        assert answer.status_code == status

    async def test_what_is_too_large_is_not_read(self, office: Office) -> None:
        async with office.browser() as browser:
            answer = await browser.post("/sign-in", headers={"Content-Length": str(LONGEST_BODY + 1)}, content=b"")
        assert answer.status_code == 413


class TestWithoutASession:
    async def test_a_form_that_htmx_sends_stays_on_the_page_under_a_dialog(self, office: Office) -> None:
        async with office.browser() as browser:
            answer = await browser.post("/account", headers={"HX-Request": "true"})
            assert answer.status_code == 401
            assert "hx-redirect" not in answer.headers
            assert "<html" not in answer.text
            assert 'action="/sign-in?' in answer.text
            signed_in = await browser.post(
                "/sign-in", data={"email": EMAIL, "password": PASSWORD}, headers={"HX-Request": "true"}
            )
            assert (signed_in.status_code, signed_in.text) == (204, "")
            assert await is_signed_in(browser)

    async def test_a_page_of_one_person_does_nothing_in_the_name_of_another(self, office: Office) -> None:
        viewer, worker = (office.ours.users[role].user_id for role in (Role.VIEWER, Role.CARE_WORKER))
        form = {"language": "ko", "time_zone": "Asia/Seoul"}
        page = (await office.care_worker.get("/account")).text
        assert f'"Page-Of": "{worker}"' in page
        for of, status in ((worker, 303), (viewer, 401)):
            headers = {"HX-Request": "true", "Page-Of": str(of)}
            assert (await office.care_worker.post("/account", data=form, headers=headers)).status_code == status
        sent_again = await office.care_worker.post(f"/account?page-of={viewer}", data=form)
        assert (sent_again.status_code, sent_again.headers["location"]) == (303, "/?instead")
        own = await office.care_worker.post(f"/account?page-of={worker}", data=form)
        assert own.headers["location"] == "/account?done=details"

    async def test_somebody_else_who_signs_in_over_a_page_is_led_to_their_own(self, office: Office) -> None:
        credentials = {"email": EMAIL, "password": PASSWORD}
        for role, users_own in ((Role.CARE_WORKER, True), (Role.ADMIN, False)):
            of = str(office.ours.users[role].user_id)
            async with office.browser() as browser:
                answer = await browser.post("/sign-in", data=credentials, headers={"HX-Request": "true", "Page-Of": of})
                assert answer.status_code == 204
                assert answer.headers.get("hx-redirect") == (None if users_own else "/?instead")
                today = await browser.get("/?instead")
                assert "instead of somebody else" in today.text

    async def test_a_form_without_script_is_sent_again_by_reloading(self, office: Office) -> None:
        async with office.browser() as browser:
            answer = await browser.post("/account", data={"language": "ko", "time_zone": "Asia/Seoul"})
            assert answer.status_code == 401
            assert "reload" in answer.text
            await sign_in(browser)
            again = await browser.post("/account", data={"language": "ko", "time_zone": "Asia/Seoul"})
            assert again.headers["location"] == "/account?done=details"


class TestTrouble:
    async def test_what_is_not_there_leads_on_in_the_language_of_the_viewer(self, office: Office) -> None:
        await office.viewer.post("/account", data={"language": "ko", "time_zone": "Asia/Seoul"})
        for path in ("/nowhere", "/admin/users/no-id", f"/calls/{uuid.uuid4()}"):
            answer = await office.viewer.get(path)
            assert answer.status_code in (403, 404)
            assert '<html lang="ko">' in answer.text
            assert 'href="/"' in answer.text

    async def test_an_error_of_ours_is_one_calm_page_without_its_cause(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("the cause")

        async with office.browser(raises=False) as browser:
            await sign_in(browser)
            monkeypatch.setattr(office.store.users, "me", broken)
            answer = await browser.get("/account")
        assert answer.status_code == 500
        assert "the cause" not in answer.text
        assert 'href="/"' in answer.text
        assert "content-security-policy" in answer.headers
