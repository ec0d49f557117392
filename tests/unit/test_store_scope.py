"""What the dashboard asks for is held to one organisation, or refused."""

import uuid
from typing import Any

import pytest
from sqlalchemy import Select
from sqlalchemy.dialects import sqlite
from sqlmodel import col, select

from carecall.domain.language import Language
from carecall.domain.viewer import Role, Viewer
from carecall.store.scope import scoped
from carecall.store.tables import AttemptRow, CampaignRow, DayRow, RecipientRow, UserRow

VIEWER = Viewer(uuid.uuid4(), uuid.uuid4(), Role.VIEWER, Language.ENGLISH, "UTC")
OF_PERSON = col(RecipientRow.id) == AttemptRow.recipient_id


def where(query: "Select[*tuple[Any, ...]]") -> str:
    """What of the statement comes after WHERE."""
    return str(query.compile(dialect=sqlite.dialect())).replace("\n", "").partition("WHERE ")[2]


def test_a_query_is_filtered_by_what_it_reads_from_or_joins() -> None:
    assert where(scoped(select(CampaignRow.name), VIEWER)) == "campaign.organisation_id = ?"
    joined = select(AttemptRow.id).join(RecipientRow, OF_PERSON)
    assert where(scoped(joined, VIEWER)) == "recipient.organisation_id = ?"
    assert scoped(joined, VIEWER).compile().params == {"organisation_id_1": VIEWER.organisation_id}


def test_a_person_counts_before_a_user_who_is_joined_for_the_name() -> None:
    query = select(RecipientRow.id, UserRow.id).outerjoin(UserRow, col(UserRow.id) == RecipientRow.id)
    assert where(scoped(query, VIEWER)) == "recipient.organisation_id = ?"


def test_another_owner_may_be_named() -> None:
    query = select(col(DayRow.day)).join(RecipientRow, col(RecipientRow.id) == DayRow.recipient_id)
    assert where(scoped(query, VIEWER, by=DayRow)) == "day.organisation_id = ?"


def test_a_query_of_nothing_that_carries_the_organisation_is_refused() -> None:
    with pytest.raises(TypeError, match="join"):
        scoped(select(AttemptRow.id), VIEWER)
    with pytest.raises(TypeError):
        scoped(select(RecipientRow.id), VIEWER, by=DayRow)


def test_what_only_a_query_within_reads_does_not_count() -> None:
    within = select(RecipientRow.id).where(OF_PERSON).exists()
    with pytest.raises(TypeError):
        scoped(select(AttemptRow.id).where(within), VIEWER)
