"""Addresses come from the public base URL."""

from uuid import UUID

import pytest

from telephony.addresses import inbound_url, resume_url, status_url, stream_url, voice_url

ATTEMPT = UUID(int=7)


@pytest.mark.parametrize("base", ["https://calls.example.org/care", "https://calls.example.org/care/"])
def test_addresses_stand_below_the_public_base(base: str) -> None:
    assert voice_url(base, ATTEMPT) == f"https://calls.example.org/care/telephony/voice/{ATTEMPT}"
    assert resume_url(base, ATTEMPT) == f"https://calls.example.org/care/telephony/resume/{ATTEMPT}"
    assert status_url(base, ATTEMPT) == f"https://calls.example.org/care/telephony/status/{ATTEMPT}"
    assert inbound_url(base) == "https://calls.example.org/care/telephony/inbound"
    assert stream_url(base, "a-token") == "wss://calls.example.org/care/telephony/stream/a-token"


def test_a_plain_base_gives_a_plain_socket() -> None:
    assert stream_url("http://127.0.0.1:8080", "a-token") == "ws://127.0.0.1:8080/telephony/stream/a-token"


def test_a_base_without_a_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="scheme"):
        stream_url("calls.example.org", "a-token")
