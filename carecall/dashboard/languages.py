"""The language for somebody who is not known yet."""

from fastapi import Request

from carecall.domain.language import Language

LANGUAGE_COOKIE = "carecall-language"


def language_of(request: Request) -> Language:
    """What was chosen on the page, or at this browser before, else the first of its languages that we speak."""
    chosen, before = request.query_params.get("language", ""), request.cookies.get(LANGUAGE_COOKIE, "")
    for wish in (chosen, before, *request.headers.get("accept-language", "").split(",")):
        tag = wish.partition(";")[0].strip().lower().partition("-")[0]
        if tag in list(Language):
            return Language(tag)
    return Language.ENGLISH
