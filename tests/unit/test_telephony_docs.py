"""docs/telephony.md names every way to be refused, with the code that the program sends."""

from pathlib import Path

import pytest

from telephony.admission import Refusal
from telephony.wire import Violation

PAGE = (Path(__file__).parents[2] / "docs" / "telephony.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("violation", Violation)
def test_every_violation_is_documented_with_its_close_code(violation: Violation) -> None:
    assert f"| `{violation}` | {violation.close_code:d} |" in PAGE


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_is_documented(refusal: Refusal) -> None:
    answer = "1013" if refusal is Refusal.FULL else f"HTTP {refusal.http_status}"
    assert f"| `{refusal}` | {answer}" in PAGE
