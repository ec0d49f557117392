"""On Postgres news are numbered as their transactions end, one after the other, so that none come late."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_LOCK = 4_119_991  # any number, the same in every process
_OF_ATTEMPT = ("JOIN attempt ON attempt.recipient_id = recipient.id", "attempt.id = NEW.attempt_id")
_OF_LIVE_ATTEMPT = (_OF_ATTEMPT[0], f"{_OF_ATTEMPT[1]} AND attempt.ended_at IS NULL")
_OF_RECIPIENT = ("", "recipient.id = NEW.recipient_id")
_TOLD = (
    # table, subject, where its recipient is, events, condition
    ("alert", "id", _OF_ATTEMPT, "INSERT OR UPDATE", ""),
    ("attempt", "id", _OF_RECIPIENT, "UPDATE OF state", "WHEN (NEW.state <> OLD.state)"),
    ("task", "id", _OF_RECIPIENT, "INSERT OR UPDATE", ""),
    ("turn", "attempt_id", _OF_LIVE_ATTEMPT, "INSERT", ""),
)


def upgrade() -> None:
    """SQLite has one writer at a time, and so its news are in order."""
    if op.get_context().dialect.name != "postgresql":
        return
    for table, subject, (join, match), events, condition in _TOLD:
        op.execute(
            f"CREATE OR REPLACE FUNCTION news_of_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"PERFORM pg_advisory_xact_lock({_LOCK}); "
            f"INSERT INTO news (organisation_id, kind, subject, at) "
            f"SELECT recipient.organisation_id, '{table}', NEW.{subject}, clock_timestamp() "
            f"FROM recipient {join} WHERE {match}; RETURN NULL; END $$"
        )
        op.execute(f"DROP TRIGGER news_of_{table} ON {table}")
        op.execute(
            f"CREATE CONSTRAINT TRIGGER news_of_{table} AFTER {events} ON {table} DEFERRABLE INITIALLY DEFERRED "
            f"FOR EACH ROW {condition} EXECUTE FUNCTION news_of_{table}()"
        )
