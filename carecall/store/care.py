"""What the dashboard reads and changes: every method is asked on behalf of a viewer and sees one organisation."""

from carecall.store.engine import Repository


class Care(Repository):
    """All of them on one database; a part of the dashboard is a base class."""
