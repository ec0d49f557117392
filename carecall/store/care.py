"""What the dashboard reads and changes: every method is asked on behalf of a viewer and sees one organisation."""

from carecall.store.api_tokens import CareApiTokens
from carecall.store.care_admin import CareAdmin
from carecall.store.care_call import CareCall
from carecall.store.care_campaigns import CareCampaigns
from carecall.store.care_exchange import CareExchange
from carecall.store.care_history import CareHistory
from carecall.store.care_people import CarePeople
from carecall.store.care_people_changes import CarePeopleChanges
from carecall.store.care_recipient import CareRecipient
from carecall.store.care_today import CareToday
from carecall.store.care_work import CareWork
from carecall.store.rights import CareRights


class Care(
    CareToday,
    CareWork,
    CareRecipient,
    CareHistory,
    CareCall,
    CarePeople,
    CarePeopleChanges,
    CareCampaigns,
    CareExchange,
    CareApiTokens,
    CareAdmin,
    CareRights,
):
    """All of them on one database; a part of the dashboard is a base class."""
