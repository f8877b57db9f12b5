"""An index of flagged events whose rules are not named: workers from before 0004 leave them so, and upkeep fills in."""

from alembic import op

revision = "0006"
down_revision = "0005"

_STATEMENTS = """
SET LOCAL statement_timeout = 0;

CREATE INDEX events_unruled ON events (accepted_at) WHERE severity IS NOT NULL AND rules IS NULL;
"""


def upgrade() -> None:
    """Add it; it is empty where no worker is older, and then costs nothing."""
    op.get_bind().exec_driver_sql(_STATEMENTS)
