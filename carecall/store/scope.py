"""The one place where what the dashboard asks for is held to the viewer's organisation."""

from collections.abc import Iterator
from typing import Any, TypeVar

from sqlalchemy import FromClause, Join, Table
from sqlmodel import Session, col
from sqlmodel.sql.expression import Select, SelectOfScalar

from carecall.domain.viewer import Viewer
from carecall.errors import StoreNotFound
from carecall.store.tables import ApiTokenRow, CampaignRow, DayRow, RecipientRow, Row, UserRow

_OWNED = (RecipientRow, CampaignRow, DayRow, ApiTokenRow, UserRow)  # what carries its organisation

Query = TypeVar("Query", bound="Select[Any] | SelectOfScalar[Any]")
T = TypeVar("T")


def scoped(query: Query, viewer: Viewer, *, by: type[Row] | None = None) -> Query:
    """The query, of the viewer's organisation only.

    It is filtered by the first of recipient, campaign, day, API token, user that it reads from or joins; ``by`` names
    another of them. Raises TypeError for a query that reads from none: join the recipient.
    """
    tables = set(_tables(query))
    for owner in _OWNED if by is None else (by,):
        if getattr(owner, "__table__") in tables:  # noqa: B009
            return query.where(col(getattr(owner, "organisation_id")) == viewer.organisation_id)  # noqa: B009
    raise TypeError("A query of the dashboard joins what carries the organisation, such as the recipient.")


def the(session: Session, query: "SelectOfScalar[T]", viewer: Viewer, *, by: type[Row] | None = None) -> T:
    """The one that is asked for. Raises StoreNotFound when it is not there, or of another organisation."""
    found = session.exec(scoped(query, viewer, by=by)).first()
    if found is None:
        raise StoreNotFound
    return found


def _tables(query: "Select[Any] | SelectOfScalar[Any]") -> Iterator[Table]:
    waiting: list[FromClause] = list(query.get_final_froms())
    while waiting:
        match waiting.pop():
            case Join() as join:
                waiting += [join.left, join.right]
            case Table() as table:
                yield table
            case _:
                pass
