"""What an upgrade does to a database that holds something already."""

import uuid
from datetime import UTC, datetime

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from carecall.store import Store
from carecall.store.engine import MIGRATIONS, Database
from carecall.store.facade import upgrade_database
from carecall.store.personal import Cipher

OURS, THEIRS = uuid.UUID(int=1), uuid.UUID(int=2)


def at_revision(url: str, revision: str, *statements: str) -> None:
    """The database at an older revision, with what these put into it."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    database = Database(url, Cipher(""), lambda: datetime.now(UTC))
    with database._writer.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        for statement in statements:
            connection.execute(text(statement))
    database.close()


def campaign(number: int, name: str, organisation: uuid.UUID) -> str:
    return (
        "INSERT INTO campaign (id, name, dialog, starts_on, schedule, ladder, paused, organisation_id) VALUES "
        f"('{uuid.UUID(int=number).hex}', '{name}', 'wellbeing', '2026-03-01', '{{}}', '{{}}', false, "
        f"'{organisation.hex}')"
    )


def test_campaigns_and_who_is_in_them_outlive_names_that_become_their_organisations_own(url: str) -> None:
    person, moment = uuid.UUID(int=9).hex, "2026-03-01 00:00:00+00:00"
    columns = "id, name, phone, name_index, language, time_zone, patience_s, notes, organisation_id, created_at"
    at_revision(
        url,
        "0007",
        campaign(1, "Seniors", OURS),
        campaign(2, f"Ad hoc: wellbeing {THEIRS.hex}", THEIRS),
        campaign(3, "Ad hoc: wellbeing", OURS),
        f"INSERT INTO recipient ({columns}) VALUES ('{person}', '', '', '', 'en', 'Asia/Seoul', 0, '', "
        f"'{OURS.hex}', '{moment}')",
        "INSERT INTO enrollment (id, recipient_id, campaign_id, started_at, paused, why) VALUES "
        f"('{person}', '{person}', '{uuid.UUID(int=1).hex}', '{moment}', false, '')",
    )
    upgrade_database(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(campaign(4, "Seniors", THEIRS)))
        names = [row[0] for row in connection.execute(text("SELECT name FROM campaign ORDER BY id"))]
    engine.dispose()
    assert names == ["Seniors", "Ad hoc: wellbeing", "Ad hoc: wellbeing", "Seniors"]
    with Store.open(url) as store:
        assert [each.name for _, each in store.outreach.campaigns()] == ["Seniors"]
        with store._database.reading() as session:
            query = text("SELECT count(*) FROM enrollment JOIN campaign ON campaign.id = campaign_id")
            assert session.connection().execute(query).scalar() == 1
