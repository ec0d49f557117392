"""What commands share that work on the database: who is at the terminal, and the store."""

import getpass
from typing import TYPE_CHECKING

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
