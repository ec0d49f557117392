"""What every page stands on: the store, the templates, the words, and who is asking."""

import hashlib
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import phonenumbers
from babel import Locale
from babel.dates import format_date, format_datetime, format_time
from fastapi import HTTPException, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from markupsafe import Markup

from carecall.dashboard.words import Words
from carecall.domain.language import Language
from carecall.domain.viewer import Role, Viewer
from carecall.settings import Settings
from carecall.store import Store

STATIC = Path(__file__).parent / "static"
_LOCALES = {Language.ENGLISH: Locale.parse("en_GB"), Language.KOREAN: Locale.parse("ko_KR")}

WhoIsAsking = Callable[[Request], Awaitable[Viewer]]  # raises NotSignedIn


class NotSignedIn(Exception):
    """The request belongs to no session that is good. Answered by a redirect to the sign-in page, or by 401."""


class Dashboard:
    """Given to every page module, which adds its routes to the router with it."""

    def __init__(self, settings: Settings, store: Store, who_is_asking: WhoIsAsking) -> None:
        self.settings = settings
        self.store = store
        self._who_is_asking = who_is_asking
        self._templates = {language: _environment(language) for language in Language}

    def needs(self, role: Role = Role.VIEWER) -> Callable[[Request], Awaitable[Viewer]]:
        """A dependency: the viewer, who has at least this role. Raises NotSignedIn, or HTTPException 403."""

        async def viewer(request: Request) -> Viewer:
            asking = await self._who_is_asking(request)
            if not asking.may(role):
                raise HTTPException(403, "this needs another role")
            return asking

        return viewer

    def page(
        self, request: Request, viewer: Viewer, template: str, *, status: int = 200, **context: object
    ) -> HTMLResponse:
        """A page, or the fragment of one: templates get ``words``, ``viewer``, ``request`` and the context.

        A template extends ``layout``, which is the whole page, or nothing but the content when htmx asks.
        """
        fragment = request.headers.get("hx-request") == "true" and request.headers.get("hx-boosted") != "true"
        text = self.render(viewer.language, template, viewer=viewer, request=request, fragment=fragment, **context)
        return HTMLResponse(text, status)

    def render(self, language: Language, template: str, *, viewer: Viewer | None = None, **context: object) -> str:
        """The text of a template."""
        zone = ZoneInfo(viewer.time_zone if viewer else "UTC")
        return (
            self._templates[language]
            .get_template(template)
            .render(viewer=viewer, show=Show(language, zone), **{"fragment": False, **context})
        )


def _environment(language: Language) -> Environment:
    """The templates in one language."""
    environment = Environment(
        loader=PackageLoader("carecall.dashboard"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"static": static_url, "words": Words(language)}
    environment.add_extension(_FixedWords)
    return environment


class _FixedWords(Extension):
    """Puts the text in the place of ``words("key")`` when a template is read, not each time that it is rendered."""

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        words: Any = self.environment.globals["words"]
        tokens = list(stream)
        while tokens:
            match [(token.type, token.value) for token in tokens[:4]]:
                case [("name", "words"), ("lparen", _), ("string", key), ("rparen", _)]:
                    yield Token(tokens[0].lineno, "string", words(key))
                    del tokens[:4]
                case _:
                    yield tokens.pop(0)


class Show:
    """Moments in the viewer's zone and language; numbers as they are written in their country."""

    def __init__(self, language: Language, zone: ZoneInfo) -> None:
        self._locale = _LOCALES[language]
        self._zone = zone

    def moment(self, at: datetime) -> Markup:
        """Date and time, such as Tue 24 Nov 09:30."""
        local = at.astimezone(self._zone)
        pattern = "M월 d일 (EEE) HH:mm" if self._locale.language == "ko" else "EEE d MMM HH:mm"
        return _time(local, format_datetime(local, pattern, locale=self._locale))

    def time(self, at: datetime) -> Markup:
        """The time of day."""
        local = at.astimezone(self._zone)
        return _time(local, format_time(local, "HH:mm", locale=self._locale))

    def day(self, at: datetime) -> Markup:
        """The date."""
        local = at.astimezone(self._zone)
        return _time(local, format_date(local, "medium", locale=self._locale))

    def phone(self, number: str) -> str:
        """The number as it is written in its own country, with the country when it is a number at all."""
        try:
            parsed = phonenumbers.parse(number)
        except phonenumbers.NumberParseException:
            return number
        return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)


def _time(local: datetime, text: str) -> Markup:
    return Markup('<time datetime="{}">{}</time>').format(local.isoformat(timespec="seconds"), text)


@cache
def static_url(name: str) -> str:
    """The address of a static file, which changes with its content and may therefore be kept for ever."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{digest}/{name}"
