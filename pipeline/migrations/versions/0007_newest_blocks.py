"""Up to which block the newest rows were looked at, as before 0005; and the surplus that was told before it."""

from alembic import op

revision = "0007"
down_revision = "0006"

_STATEMENTS = """
ALTER TABLE reviewed ADD COLUMN block BIGINT NOT NULL DEFAULT 0, ALTER COLUMN written SET DEFAULT -1;

UPDATE counted c SET surplus = i.events FROM incidents i
WHERE i.kind = 'surplus' AND i.subject = 'chunks' AND i.told_at IS NOT NULL AND i.ended_at IS NULL AND c.surplus = 0;
"""


def upgrade() -> None:
    """Add and fill them; code from before 0005 goes on with its watch while both run."""
    op.get_bind().exec_driver_sql(_STATEMENTS)
