"""``carecall doctor`` about telephone, alerts and telemetry: what is on, what is half set, and no secret."""

import asyncio

import pytest
from mail_server import mail_server

from carecall.cli.doctor import Check, _alert_channels, _outbound, _shown
from carecall.settings import Settings

TWILIO = {
    "twilio_account_sid": "AC1",
    "twilio_auth_token": "hush",
    "twilio_number": "+15552345678",
    "public_url": "https://care.test",
}
MAIL = {"alert_email_to": "night@care.test", "alert_email_from": "carecall@care.test"}


def test_a_telephone_that_is_not_set_up_is_no_trouble() -> None:
    assert list(_outbound(Settings())) == [Check("telephone", "off")]


def test_a_telephone_that_is_set_up_shows_its_number() -> None:
    assert list(_outbound(Settings.model_validate(TWILIO))) == [Check("telephone", "+15552345678")]


@pytest.mark.parametrize("name", list(TWILIO))
def test_half_a_telephone_names_what_is_missing(name: str) -> None:
    (check,) = _outbound(Settings.model_validate({key: value for key, value in TWILIO.items() if key != name}))
    assert check.mend == f"set CARECALL_{name.upper()} (docs/runbook.md)"


def test_a_public_address_without_tls_does_not_do_for_a_telephone() -> None:
    (check,) = _outbound(Settings.model_validate(TWILIO | {"public_url": "http://care.test"}))
    assert "https://" in check.mend


def test_alert_channels_are_off_unless_set() -> None:
    assert [check.found for check in _alert_channels(Settings())] == ["off", "off"]


async def test_the_mail_server_is_asked_whether_it_takes_the_login() -> None:
    async with mail_server() as peer:
        settings = Settings.model_validate(MAIL | {"smtp_url": f"smtp://care:pass@127.0.0.1:{peer.port}"})
        _, well = await asyncio.to_thread(lambda: list(_alert_channels(settings)))
        peer.answers["AUTH"] = "535 who are you"
        _, refused = await asyncio.to_thread(lambda: list(_alert_channels(settings)))
    assert well == Check("alerts by e-mail", "127.0.0.1")
    assert refused.mend == "the mail server refused the login (535); check CARECALL_SMTP_URL"
    assert peer.mails == []


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("alert_webhook_url", "https://user:pass@hooks.test/services/T0/secret", "https://hooks.test/…"),
        ("database_url", "postgresql+psycopg://care:pass@db.test/care", "postgresql+psycopg://…@db.test/care"),
        ("otlp_url", "https://key@collector.test", "https://…@collector.test"),
        ("port", 8080, "8080"),
    ],
)
def test_secrets_in_addresses_are_not_shown(name: str, value: object, shown: str) -> None:
    assert _shown(name, value) == shown
