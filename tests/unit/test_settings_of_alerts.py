"""Settings of alerts, telephone and telemetry: half a channel is refused with one line that names what is missing."""

import re

import pytest
from pydantic import ValidationError

from carecall.settings import Settings

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOOK = {"alert_webhook_url": "https://hooks.example.org/alerts", "alert_webhook_secret": KEY}
MAIL = {
    "smtp_url": "smtp://care:pass@mail.example.org:587",
    "alert_email_to": "night@example.org, day@example.org",
    "alert_email_from": "carecall@example.org",
}


def refusal(**values: str) -> str:
    with pytest.raises(ValidationError) as error:
        Settings.model_validate(values)
    (problem,) = error.value.errors(include_url=False, include_input=False)
    return problem["msg"]


def test_complete_channels_are_accepted() -> None:
    effective = Settings.model_validate({**HOOK, **MAIL})
    assert len(effective.webhook_key) == 24
    assert effective.alert_addresses == ("night@example.org", "day@example.org")


def test_no_channel_is_accepted() -> None:
    assert Settings().webhook_key == b""
    assert Settings().alert_addresses == ()


@pytest.mark.parametrize(
    "secret", ["", "a long secret of some kind, thirty", "whsec_", "whsec_c2hvcnQ=", "whsec_no base64!"]
)
def test_a_webhook_needs_a_secret_of_the_standard(secret: str) -> None:
    message = refusal(**(HOOK | {"alert_webhook_secret": secret}))
    assert "needs CARECALL_ALERT_WEBHOOK_SECRET: whsec_" in message
    assert not secret or secret == "whsec_" or secret not in message


@pytest.mark.parametrize(
    "url", ["ftp://x.org/", "x.org/alerts", "http://", "https://x.org:0/", "https://x.org:port/", "file:///etc"]
)
def test_a_webhook_is_called_over_http_only(url: str) -> None:
    assert "CARECALL_ALERT_WEBHOOK_URL is an address" in refusal(**(HOOK | {"alert_webhook_url": url}))


def test_production_calls_a_webhook_over_https_only() -> None:
    production = {
        "environment": "production",
        "secret_key": "k" * 32,
        "twilio_account_sid": "AC1",
        "twilio_auth_token": "t",
        "public_url": "https://care.example.org",
    }
    plain = HOOK | {"alert_webhook_url": "http://hooks.example.org/"}
    assert Settings.model_validate(plain)
    assert "production needs an https:// CARECALL_ALERT_WEBHOOK_URL" in refusal(**production, **plain)
    assert Settings.model_validate(production | HOOK)


@pytest.mark.parametrize("name", list(MAIL))
def test_mail_needs_server_sender_and_addresses(name: str) -> None:
    rest = {key: value for key, value in MAIL.items() if key != name}
    message = refusal(**rest)
    assert f"need CARECALL_{name.upper()} too" in message
    assert "pass" not in message


@pytest.mark.parametrize(
    "url", ["mail.example.org", "http://mail.example.org", "smtp://", "smtp://host:0", "smtp://h:x"]
)
def test_a_mail_server_is_an_smtp_address(url: str) -> None:
    assert "CARECALL_SMTP_URL is smtp://" in refusal(**(MAIL | {"smtp_url": url}))


@pytest.mark.parametrize(
    "address", ["night", "night@", "a b@example.org", "Night <night@example.org>", "a@b\nBcc: c@d"]
)
def test_an_address_is_a_plain_one(address: str) -> None:
    assert re.search("addresses as name@host", refusal(**(MAIL | {"alert_email_to": address})))
    assert re.search("addresses as name@host", refusal(**(MAIL | {"alert_email_from": address})))


@pytest.mark.parametrize("number", ["010-1234-5678", "821012345678", "+0123456789", "+82 10 1234 5678"])
def test_our_number_is_in_e164(number: str) -> None:
    assert "CARECALL_TWILIO_NUMBER is written as +82" in refusal(twilio_number=number)


def test_the_collector_is_an_http_address() -> None:
    assert "CARECALL_OTLP_URL is an address" in refusal(otlp_url="collector:4317")
