"""What commands share that work on the database: who is at the terminal, the store, whose people are meant."""

import getpass
import uuid
from typing import TYPE_CHECKING

from carecall.errors import CareCallError
from carecall.settings import settings

if TYPE_CHECKING:
    from carecall.store import Store


def operator() -> str:
    """Who is at the terminal, for the audit trail."""
    try:
        return f"terminal:{getpass.getuser()}"
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return "terminal"


def open_store() -> "Store":
    """The store of the effective settings. Raises StoreError."""
    from carecall.store import Store

    effective = settings()
    return Store.open(effective.database, secret=effective.secret_key.get_secret_value())


def organisation_id_of(store: "Store", name: str) -> uuid.UUID:
    """The id of the one of this name; without a name, of the only one. Raises CareCallError."""
    known = store.users.organisations()
    found = [each.id for each in known if not name or each.name == name]
    if len(found) == 1:
        return found[0]
    names = ", ".join(each.name for each in known)
    raise CareCallError(f"Say --organisation NAME, with one of: {names}. 'carecall organisation add' adds another.")
