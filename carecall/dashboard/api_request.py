"""A request to the interface that may be answered: who asks, for what, and where its next page is."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from starlette.exceptions import HTTPException

from carecall.dashboard.api_models import CURSOR, FORMATS, REPEATED
from carecall.domain.viewer import Viewer
from carecall.exchange.fhir_search import Cut, QueryError, read_cut, write_cut
from carecall.settings import Settings

_JSON = ("application/fhir+json", "application/json", "application/*", "*/*")


@dataclass(frozen=True, slots=True)
class Asked:
    viewer: Viewer
    origin: str  # where others reach us
    path: str
    query: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, request: Request, viewer: Viewer, settings: Settings) -> "Asked":
        """Raises QueryError for a parameter that is not known."""
        refuse_unknown(request)
        return cls(viewer, origin_of(request, settings), request.url.path, tuple(request.query_params.multi_items()))

    @property
    def actor(self) -> str:
        return f"api_token:{self.viewer.user_id}"

    @property
    def here(self) -> str:
        return self._address(self.query)

    def page(self, cut: Cut) -> str:
        """The address of the page that begins at a cut."""
        return self._address((*(each for each in self.query if each[0] != CURSOR), (CURSOR, write_cut(cut))))

    def _address(self, query: tuple[tuple[str, str], ...]) -> str:
        address = f"{self.origin}{self.path}"
        return f"{address}?{urlencode(query)}" if query else address


def cut_of(cursor: str | None) -> Cut:
    """Where a page begins. Raises QueryError."""
    return read_cut(CURSOR, cursor) if cursor is not None else Cut()


def origin_of(request: Request, settings: Settings) -> str:
    """Where others reach us, without a slash at its end."""
    return settings.public_url.rstrip("/") or f"{request.url.scheme}://{request.url.netloc}"


def accepts_fhir(request: Request) -> None:
    """Raises HTTPException 406 for whoever wants anything but JSON."""
    wanted = request.query_params.get("_format")
    accepted = [each.partition(";")[0].strip().lower() for each in request.headers.get("accept", "*/*").split(",")]
    if wanted is not None:
        fits = wanted.partition(";")[0].strip().lower() in FORMATS
    else:
        fits = any(each in _JSON or not each for each in accepted)
    if not fits:
        raise HTTPException(406, "The interface speaks application/fhir+json only.")


def refuse_unknown(request: Request) -> None:
    """A parameter that is not known could leave more in the answer than was wanted. Raises QueryError."""
    route: Any = request.scope["route"]
    known = {each.alias for each in _parameters(route.dependant)}
    for name in request.query_params:
        if name not in known:
            raise QueryError(f"{name}: this parameter is not known here; known are {', '.join(sorted(known))}")
        if name not in REPEATED and len(request.query_params.getlist(name)) > 1:
            raise QueryError(f"{name}: given more than once")


def _parameters(dependant: Any) -> list[Any]:
    return [*dependant.query_params, *(each for inner in dependant.dependencies for each in _parameters(inner))]
