"""The database: tables, migrations, repositories, and personal data encrypted at rest."""

from carecall.store.facade import CallJournal, Store
from carecall.store.stream_tokens import Grant

__all__ = ["CallJournal", "Grant", "Store"]
