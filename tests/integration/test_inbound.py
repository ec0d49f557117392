"""Who rings our number: people we know get their check, everybody else one polite line."""

import pytest
from webhook_peer import ATTEMPT, BASE, CALL_SID, TOKEN, Attempts, client_of, post, signature, verbs

INBOUND = "/telephony/inbound"
KNOWN = "+821012345678"
Fields = list[tuple[str, str]]


def ringing(caller: str, call_sid: str = CALL_SID) -> Fields:
    return [("CallSid", call_sid), ("From", caller), ("To", "+15005550006"), ("CallStatus", "ringing")]


@pytest.fixture
def attempts() -> Attempts:
    return Attempts(known={KNOWN: ATTEMPT})


async def test_somebody_we_know_is_connected_like_a_call_that_we_made(attempts: Attempts) -> None:
    async with client_of(attempts) as client:
        connect, stream, redirect = verbs(await post(client, INBOUND, ringing(KNOWN)))
    assert connect[0] == "Connect"
    assert stream[1] == {"url": f"wss://calls.example.org/care/telephony/stream/{TOKEN}"}
    assert redirect[2].startswith(f"{BASE}/telephony/resume/{ATTEMPT}?")
    assert attempts.answered == [(KNOWN, CALL_SID)]
    assert attempts.opened == [(ATTEMPT, CALL_SID)]


@pytest.mark.parametrize(
    ("caller", "asked"),
    [
        ("+12025550143", True),
        ("+266696687", True),  # a number withheld, as some carriers write it
        ("anonymous", False),
        ("", False),
        ("client:somebody", False),
        ("sip:care@example.org", False),
        ("+1 202 555 0143", False),
    ],
)
async def test_whoever_we_do_not_know_hears_who_we_are_and_not_what_for(
    attempts: Attempts, caller: str, asked: bool
) -> None:
    async with client_of(attempts, organisation="Haneul Town") as client:
        korean, english, end = verbs(await post(client, INBOUND, ringing(caller)))
    assert [korean[1]["language"], english[1]["language"], end[0]] == ["ko-KR", "en-US", "Hangup"]
    assert "Haneul Town" in korean[2]
    assert "Haneul Town" in english[2]
    spoken = (korean[2] + english[2]).lower()
    assert not any(
        word in spoken for word in ("health", "check", "care", "patient", "건강", "환자", "진료", "안부", "복지")
    )
    assert [phone for phone, _ in attempts.answered] == ([caller] if asked else [])
    assert attempts.opened == []


async def test_without_an_organisation_nobody_is_named(attempts: Attempts) -> None:
    async with client_of(attempts) as client:
        korean, english, _ = verbs(await post(client, INBOUND, ringing("anonymous")))
    assert korean[2].startswith("안녕하세요. ")
    assert english[2].startswith("Hello. ")


async def test_a_caller_whose_call_is_over_is_hung_up(attempts: Attempts) -> None:
    attempts.token = None
    async with client_of(attempts) as client:
        assert verbs(await post(client, INBOUND, ringing(KNOWN))) == [("Hangup", {}, "")]


async def test_a_replayed_call_is_refused_and_the_next_call_is_not(attempts: Attempts) -> None:
    async with client_of(attempts) as client:
        first, replayed, next_call = [
            await post(client, INBOUND, fields)
            for fields in (ringing(KNOWN), ringing(KNOWN), ringing(KNOWN, "CA" + "9" * 32))
        ]
    assert (first.status_code, replayed.status_code, next_call.status_code) == (200, 409, 200)
    assert len(attempts.answered) == 2


async def test_an_unsigned_call_is_refused(attempts: Attempts) -> None:
    fields = ringing(KNOWN)
    async with client_of(attempts) as client:
        for forged in ("", signature(INBOUND, fields, auth_token="another"), signature(INBOUND + "?x=1", fields)):
            assert (await post(client, INBOUND, fields, X_Twilio_Signature=forged)).status_code == 403
    assert attempts.answered == []


async def test_a_store_that_fails_leaves_the_call_to_twilios_retry(attempts: Attempts) -> None:
    attempts.fails = True
    async with client_of(attempts) as client:
        assert (await post(client, INBOUND, ringing(KNOWN))).status_code == 503
        attempts.fails = False
        assert (await post(client, INBOUND, ringing(KNOWN))).status_code == 200
