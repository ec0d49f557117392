"""The language for somebody who is not known yet."""

from fastapi import Request

from carecall.domain.language import Language


def language_of(request: Request) -> Language:
    """What was chosen on the page, else the first of the browser's languages that we speak, else English."""
    chosen = request.query_params.get("language", "")
    for wish in (chosen, *request.headers.get("accept-language", "").split(",")):
        tag = wish.partition(";")[0].strip().lower().partition("-")[0]
        if tag in list(Language):
            return Language(tag)
    return Language.ENGLISH
