"""The first schema."""

from alembic import op

from pipeline.storage._models import PARTITIONED, metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables, and a default partition for what no day's partition takes."""
    connection = op.get_bind()
    metadata.create_all(connection)
    for table in PARTITIONED:
        op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
