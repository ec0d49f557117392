"""What the dashboard reads and changes: every method is asked on behalf of a viewer and sees one organisation."""

from carecall.store.api_tokens import CareApiTokens
from carecall.store.care_call import CareCall
from carecall.store.care_exchange import CareExchange
from carecall.store.care_history import CareHistory
from carecall.store.care_recipient import CareRecipient


class Care(CareRecipient, CareHistory, CareCall, CareExchange, CareApiTokens):
    """All of them on one database; a part of the dashboard is a base class."""
