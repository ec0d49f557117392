"""Signing in to the dashboard."""

from dashboard_office import PASSWORD, Office


async def test_the_right_password_leads_to_the_page_that_was_asked_for(office: Office) -> None:
    async with office.browser() as browser:
        asked = await browser.get("/account")
        assert (asked.status_code, asked.headers["location"]) == (303, "/sign-in?next=%2Faccount")
        page = await browser.get(asked.headers["location"])
        assert page.status_code == 200
        answer = await browser.post(
            "/sign-in", data={"email": "admin@here.test", "password": PASSWORD, "next": "/account"}
        )
        assert (answer.status_code, answer.headers["location"]) == (303, "/account")
        assert "admin@here.test" in (await browser.get("/account")).text
