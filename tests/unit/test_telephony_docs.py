"""docs/telephony.md names every way to be refused, with the code that the program sends, and every code of Twilio's."""

from pathlib import Path

import pytest

from carecall.domain.progress import CallFailure
from telephony.admission import Refusal
from telephony.call_words import ERROR_CODES, SIP_CODES
from telephony.webhooks import WebhookRefusal
from telephony.wire import Violation

PAGE = (Path(__file__).parents[2] / "docs" / "telephony.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("violation", Violation)
def test_every_violation_is_documented_with_its_close_code(violation: Violation) -> None:
    assert f"| `{violation}` | {violation.close_code:d} |" in PAGE


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_is_documented(refusal: Refusal) -> None:
    answer = "1013" if refusal is Refusal.FULL else f"HTTP {refusal.http_status}"
    assert f"| `{refusal}` | {answer}" in PAGE


@pytest.mark.parametrize("refusal", WebhookRefusal)
def test_every_refusal_of_a_webhook_is_documented(refusal: WebhookRefusal) -> None:
    assert f"| `{refusal}` | HTTP {refusal.http_status} |" in PAGE


@pytest.mark.parametrize("failure", sorted(set(ERROR_CODES.values())))
def test_every_error_code_is_documented_with_what_it_means(failure: CallFailure) -> None:
    codes = " ".join(str(code) for code in sorted(ERROR_CODES) if ERROR_CODES[code] is failure)
    sip_codes = " ".join(str(code) for code in sorted(SIP_CODES) if SIP_CODES[code] is failure)
    assert f"| `{failure}` | {codes} | {sip_codes + ' ' if sip_codes else ''}|" in PAGE
