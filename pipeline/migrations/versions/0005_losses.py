"""What keeps a loss one loss until it is written off, and a surplus a surplus; reviews that go by chunks."""

from alembic import op

revision = "0005"
down_revision = "0004"

_STATEMENTS = """
ALTER TABLE witness ADD COLUMN loss BIGINT, ADD COLUMN written_off INTEGER NOT NULL DEFAULT 0;

ALTER TABLE counted
    ADD COLUMN surplus BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN written_off BIGINT NOT NULL DEFAULT 0;

DROP TABLE reviewed;

CREATE TABLE reviewed (
    partition TEXT NOT NULL,
    written BIGINT NOT NULL,
    next UUID,
    PRIMARY KEY (partition)
);
"""


def upgrade() -> None:
    """Add them; 0007 gives code from before its column ``block`` back."""
    op.get_bind().exec_driver_sql(_STATEMENTS)
