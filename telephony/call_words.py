"""What Twilio's words and numbers about a call mean: who answered, and why no telephone rang. Pure.

Error codes: https://www.twilio.com/docs/api/errors, each with a page of its own below that address.
SIP response codes: RFC 3261 section 21, RFC 8197 (607) and RFC 8688 (608).
"""

import re

from carecall.domain.progress import AnsweredBy, CallFailure

CALL_SID = re.compile(r"CA[0-9A-Za-z]{1,62}")

ERROR_CODES = {
    10001: CallFailure.ACCOUNT,  # the account is not active
    10002: CallFailure.ACCOUNT,  # not with a trial account
    10004: CallFailure.LIMIT,  # too many calls at once
    10005: CallFailure.ACCOUNT,  # voice calling is disabled
    13223: CallFailure.BAD_NUMBER,  # the number's form
    13224: CallFailure.BAD_NUMBER,  # invalid, or no carrier delivers there
    13225: CallFailure.BAD_NUMBER,  # a number that may not be called, such as an emergency number
    13226: CallFailure.BAD_NUMBER,  # the country code
    13227: CallFailure.ACCOUNT,  # the country is not enabled (geographic permissions)
    20003: CallFailure.ACCOUNT,  # wrong credentials
    20005: CallFailure.ACCOUNT,  # not active: no funds, or suspended
    20006: CallFailure.ACCOUNT,  # access denied
    20008: CallFailure.ACCOUNT,  # test credentials
    20403: CallFailure.ACCOUNT,  # forbidden
    20404: CallFailure.ACCOUNT,  # no such account
    20429: CallFailure.LIMIT,  # too many requests
    21201: CallFailure.BAD_NUMBER,  # no number
    21202: CallFailure.BAD_NUMBER,  # a premium or service number
    21203: CallFailure.ACCOUNT,  # international calls are not enabled
    21210: CallFailure.ACCOUNT,  # our number is not verified
    21211: CallFailure.BAD_NUMBER,  # invalid
    21212: CallFailure.ACCOUNT,  # our number is invalid
    21213: CallFailure.ACCOUNT,  # our number is missing
    21214: CallFailure.BAD_NUMBER,  # cannot be reached
    21215: CallFailure.ACCOUNT,  # the country is not enabled (geographic permissions)
    21216: CallFailure.BLOCKED,  # blocked by Twilio
    21217: CallFailure.BAD_NUMBER,  # does not appear to be valid
    21219: CallFailure.ACCOUNT,  # a trial account calls verified numbers only
    21610: CallFailure.BLOCKED,  # the person has told Twilio to stop
    32017: CallFailure.BLOCKED,  # the carrier takes our number for unwanted
    32205: CallFailure.ACCOUNT,  # the country is not enabled (geographic permissions)
}
SIP_CODES = {
    404: CallFailure.BAD_NUMBER,
    410: CallFailure.BAD_NUMBER,
    484: CallFailure.BAD_NUMBER,
    604: CallFailure.BAD_NUMBER,
    607: CallFailure.BLOCKED,
    608: CallFailure.BLOCKED,
}
OVER = {20404, 21220}  # an update says: no such call, or not one that can be changed any more


def why_refused(http_status: int, code: int | None) -> CallFailure | None:
    """Why a request to make a call was refused; None where it stays open whether the call was made."""
    if not 400 <= http_status < 500 or http_status == 408:
        return None
    if code in ERROR_CODES:
        return ERROR_CODES[code]
    # What else Twilio refuses is a request that it cannot read or that we may not send: for the operator.
    return CallFailure.LIMIT if http_status == 429 else CallFailure.ACCOUNT


def why_failed(error_code: int | None, sip_code: int | None) -> CallFailure:
    """Why a call that was made has failed. What is not known is put down to the network."""
    if error_code in ERROR_CODES:
        return ERROR_CODES[error_code]
    return SIP_CODES.get(sip_code or 0, CallFailure.CARRIER)


def who_answered(word: str) -> AnsweredBy:
    """A word that is not known counts as ``unknown``, except for new kinds of machines."""
    if word in list(AnsweredBy):
        return AnsweredBy(word)
    return AnsweredBy.MACHINE_START if word.startswith("machine") else AnsweredBy.UNKNOWN
