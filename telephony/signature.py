"""Whether Twilio signed a request: https://www.twilio.com/docs/usage/webhooks/webhooks-security."""

from collections.abc import Sequence

from starlette.datastructures import ImmutableMultiDict
from twilio.request_validator import RequestValidator

HEADER = "x-twilio-signature"

Parameters = Sequence[tuple[str, str]]


def is_signed(auth_token: str, url: str, parameters: Parameters, signature: str) -> bool:
    """Whether ``signature`` is Twilio's for ``url``, as it was given to Twilio, and all form parameters.

    Never without an auth token.
    """
    if not auth_token or not signature:
        return False
    return bool(RequestValidator(auth_token).validate(url, ImmutableMultiDict(parameters), signature))
