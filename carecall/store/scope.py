"""The one place where what the dashboard asks for is held to the viewer's organisation."""

from collections.abc import Iterator
from typing import Any, TypeVar

from sqlalchemy import Join, Select, Table
from sqlmodel import Session, col, func
from sqlmodel.sql.expression import SelectOfScalar

from carecall.domain.viewer import Viewer
from carecall.errors import StoreNotFound
from carecall.store.tables import ApiTokenRow, CampaignRow, DayRow, RecipientRow, UserRow

Owner = RecipientRow | CampaignRow | DayRow | ApiTokenRow | UserRow  # what carries its organisation
_OWNERS: tuple[type[Owner], ...] = (RecipientRow, CampaignRow, DayRow, ApiTokenRow, UserRow)

Query = TypeVar("Query", bound="Select[*tuple[Any, ...]]")
T = TypeVar("T")


def scoped(query: Query, viewer: Viewer, *, by: type[Owner] | None = None, few: bool = False) -> Query:
    """The query, of the viewer's organisation only.

    It is filtered by the first of recipient, campaign, day, API token, user that it reads from or joins; ``by`` names
    another of them. ``few``: the query begins with something that is few, such as open alerts, so that a database must
    not begin with the organisation's people. Raises TypeError for a query that reads from none: join the recipient.
    """
    tables = set(_tables(query))
    for owner in _OWNERS if by is None else (by,):
        if owner.__tablename__ in tables:
            owned = col(owner.organisation_id)
            return query.where((func.coalesce(owned, owned) if few else owned) == viewer.organisation_id)
    raise TypeError("A query of the dashboard joins what carries the organisation, such as the recipient.")


def from_here(column: Any) -> Any:
    """A reference that is followed from this table only: what is few, such as open alerts, is what is begun with.

    A database that began with the organisation's people or a campaign would go through all that they ever had.
    """
    return func.coalesce(col(column), col(column))


def the(session: Session, query: SelectOfScalar[T], viewer: Viewer, *, by: type[Owner] | None = None) -> T:
    """The one that is asked for. Raises StoreNotFound when it is not there, or of another organisation."""
    found = session.exec(scoped(query, viewer, by=by)).first()
    if found is None:
        raise StoreNotFound
    return found


def _tables(query: "Select[*tuple[Any, ...]]") -> Iterator[str]:
    """What the query itself reads from and joins, by name; what only a query within it reads does not count."""
    waiting = list(query.get_children())
    while waiting:
        match waiting.pop():
            case Join() as join:
                waiting += [join.left, join.right]
            case Table() as table:
                yield table.name
            case _:
                pass
