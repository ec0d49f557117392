"""The addresses under which Twilio reaches this server, built from the public base URL and never from a request."""

from urllib.parse import quote
from uuid import UUID

VOICE = "/telephony/voice/{attempt_id}"
RESUME = "/telephony/resume/{attempt_id}"
STATUS = "/telephony/status/{attempt_id}"
STREAM = "/telephony/stream/{token}"
INBOUND = "/telephony/inbound"


def voice_url(public_url: str, attempt_id: UUID) -> str:
    """Where Twilio asks what to do with an answered call."""
    return _join(public_url, VOICE.format(attempt_id=attempt_id))


def resume_url(public_url: str, attempt_id: UUID) -> str:
    """Where Twilio asks how to go on after a media stream."""
    return _join(public_url, RESUME.format(attempt_id=attempt_id))


def status_url(public_url: str, attempt_id: UUID) -> str:
    """Where Twilio reports the progress of a call and who answered it."""
    return _join(public_url, STATUS.format(attempt_id=attempt_id))


def inbound_url(public_url: str) -> str:
    """Where Twilio asks what to do with a call to our number."""
    return _join(public_url, INBOUND)


def stream_url(public_url: str, token: str) -> str:
    """Where Twilio opens the media stream: the WebSocket scheme of the public base, the token in the path."""
    scheme, separator, rest = public_url.partition("://")
    if not separator:
        raise ValueError("the public URL has no scheme")
    return _join(f"{'ws' if scheme == 'http' else 'wss'}://{rest}", STREAM.format(token=quote(token, safe="")))


def _join(base: str, path: str) -> str:
    return base.rstrip("/") + path
