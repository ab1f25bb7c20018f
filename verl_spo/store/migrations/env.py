"""Alembic's entry: runs on the connection that `store.database.schema_version` hands over, in its transaction."""

from alembic import context

from verl_spo.store.schema import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
context.run_migrations()
