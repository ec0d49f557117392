"""What an open screen needs: news of every change, days by moment, alerts that go on to people."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NEWS = """
    INSERT INTO news (organisation_id, kind, subject, at)
    SELECT recipient.organisation_id, '{kind}', NEW.{subject}, {now}
    FROM recipient {join} WHERE {match}
"""
_OF_ATTEMPT = ("JOIN attempt ON attempt.recipient_id = recipient.id", "attempt.id = NEW.attempt_id")
_OF_LIVE_ATTEMPT = (_OF_ATTEMPT[0], f"{_OF_ATTEMPT[1]} AND attempt.ended_at IS NULL")
_OF_RECIPIENT = ("", "recipient.id = NEW.recipient_id")
_TOLD = (
    # table, subject, where its recipient is, events, condition
    ("alert", "id", _OF_ATTEMPT, ("INSERT", "UPDATE"), ""),
    ("attempt", "id", _OF_RECIPIENT, ("UPDATE OF state",), "NEW.state <> OLD.state"),
    ("task", "id", _OF_RECIPIENT, ("INSERT", "UPDATE"), ""),
    ("turn", "attempt_id", _OF_LIVE_ATTEMPT, ("INSERT",), ""),
)
_SQLITE_NOW = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


def upgrade() -> None:
    op.create_table(
        "news",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("subject", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sqlite_autoincrement=True,
    )
    op.add_column("day", sa.Column("at", sa.DateTime(timezone=True), nullable=True))
    op.drop_index("day_of_organisation", "day")
    op.create_index("day_of_organisation", "day", ["organisation_id", "day", "state", "at"])
    _partial("task_waiting", "task", "closed_at IS NULL", "due_at")
    _partial("alert_escalating", "alert", "escalate_at IS NOT NULL", "escalate_at")
    postgres = op.get_context().dialect.name == "postgresql"
    if postgres:
        op.add_column("alert_delivery", sa.Column("user_id", sa.Uuid(), nullable=True))
        op.drop_constraint("alert_delivery_once", "alert_delivery")
        _tell_postgres()
    else:
        _deliveries_anew()
        _tell_sqlite()
    _partial("alert_delivery_once", "alert_delivery", "user_id IS NULL", "alert_id", "channel", unique=True)
    _partial("alert_delivery_to_person", "alert_delivery", "user_id IS NOT NULL", "alert_id", "user_id", unique=True)


def _partial(name: str, table: str, condition: str, *columns: str, unique: bool = False) -> None:
    where = sa.text(condition)
    op.create_index(name, table, list(columns), unique=unique, sqlite_where=where, postgresql_where=where)


def _deliveries_anew() -> None:
    """SQLite cannot drop a constraint."""
    columns = "id, alert_id, channel, tries, next_try_at, delivered_at, error"
    op.execute(f"CREATE TEMPORARY TABLE kept_delivery AS SELECT {columns} FROM alert_delivery")
    op.drop_table("alert_delivery")
    channel = sa.Enum(
        "webhook", "email", name="alert_delivery_channel", native_enum=False, create_constraint=True, length=32
    )
    op.create_table(
        "alert_delivery",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("alert_id", sa.Uuid(), sa.ForeignKey("alert.id"), nullable=False),
        sa.Column("channel", channel, nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.String(200), nullable=False),
    )
    op.execute(f"INSERT INTO alert_delivery ({columns}) SELECT {columns} FROM kept_delivery")
    op.execute("DROP TABLE kept_delivery")
    op.create_index("alert_delivery_next", "alert_delivery", ["next_try_at"])


def _tell_sqlite() -> None:
    for table, subject, (join, match), events, condition in _TOLD:
        news = _NEWS.format(kind=table, subject=subject, now=_SQLITE_NOW, join=join, match=match)
        for event in events:
            when = f"WHEN {condition}" if condition else ""
            name = f"news_of_{table}_{event.partition(' ')[0].lower()}"
            op.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} {when} BEGIN {news}; END")


def _tell_postgres() -> None:
    for table, subject, (join, match), events, condition in _TOLD:
        news = _NEWS.format(kind=table, subject=subject, now="clock_timestamp()", join=join, match=match)
        when = f"WHEN ({condition})" if condition else ""
        op.execute(
            f"CREATE FUNCTION news_of_{table}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {news}; RETURN NULL; END $$"
        )
        op.execute(
            f"CREATE TRIGGER news_of_{table} AFTER {' OR '.join(events)} ON {table} "
            f"FOR EACH ROW {when} EXECUTE FUNCTION news_of_{table}()"
        )
