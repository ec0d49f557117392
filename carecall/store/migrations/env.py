"""Runs the migrations on the connection that the store hands over, inside the store's transaction."""

from alembic import context

from carecall.store.tables import Row

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Row.metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
