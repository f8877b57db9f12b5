"""Alembic's entry: runs the migrations on the connection that ``pipeline.storage.migrate`` hands over."""

from alembic import context

from pipeline.storage._models import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
