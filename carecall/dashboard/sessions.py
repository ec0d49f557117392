"""Who is asking: the cookie, and the session that it belongs to."""

from fastapi import Request, Response

from carecall.dashboard.dashboard import NotSignedIn
from carecall.dashboard.languages import LANGUAGE_COOKIE
from carecall.domain.language import Language
from carecall.domain.viewer import Viewer
from carecall.settings import Environment, Settings
from carecall.store import Store
from carecall.store.users import SESSION_LASTS, session_digest

_LANGUAGE_KEPT_S = 365 * 86_400


class PasswordToChange(Exception):
    """The password was chosen by somebody else: before anything, it is to be changed."""


class PageOfAnother(NotSignedIn):
    """Somebody is signed in, but the page was opened by somebody else."""


class Sessions:
    """Reads and sets the cookie of one application."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._store = store
        self._secure = settings.environment is not Environment.DEVELOPMENT
        self.cookie = "__Host-carecall" if self._secure else "carecall"

    async def viewer(self, request: Request) -> Viewer:
        """Raises NotSignedIn, PageOfAnother, or PasswordToChange."""
        return await self.owner(request, may_owe_password=False)

    async def owner(self, request: Request, *, may_owe_password: bool = True) -> Viewer:
        """The same for pages on which the first password is changed. Raises NotSignedIn, or PageOfAnother."""
        # What a page fetches by itself does not keep a session awake that nobody uses.
        active = request.method not in ("GET", "HEAD") or "hx-request" not in request.headers
        digest = self.digest(request)
        signed_in = await self._store.run(self._store.users.signed_in, digest, active=active) if digest else None
        if signed_in is None:
            raise NotSignedIn
        if is_page_of_another(request, signed_in.viewer):
            raise PageOfAnother
        request.state.viewer = signed_in.viewer
        if signed_in.must_change_password and not may_owe_password:
            raise PasswordToChange
        return signed_in.viewer

    def digest(self, request: Request) -> str:
        """Of the cookie; empty without one."""
        token = request.cookies.get(self.cookie, "")
        return session_digest(token) if token else ""

    def give(self, response: Response, token: str) -> None:
        response.set_cookie(
            self.cookie,
            token,
            max_age=int(SESSION_LASTS.total_seconds()),
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def remember_language(self, response: Response, language: Language) -> None:
        """For the pages that are shown to this browser while nobody is signed in."""
        response.set_cookie(
            LANGUAGE_COOKIE,
            language,
            max_age=_LANGUAGE_KEPT_S,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def take(self, response: Response) -> None:
        response.delete_cookie(self.cookie, path="/", secure=self._secure, httponly=True, samesite="lax")


def is_page_of_another(request: Request, viewer: Viewer) -> bool:
    """Whether a page that was opened by somebody else asks, who was signed in at this browser before.

    Parts of a page say of whom it is in a header, its forms in their address.
    """
    asked_by = request.headers.get("page-of")
    if asked_by is None and request.method == "POST":
        asked_by = request.query_params.get("page-of")
    return asked_by not in (None, str(viewer.user_id))
