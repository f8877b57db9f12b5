"""Clients' own event ids."""

from alembic import op

revision = "0002"
down_revision = "0001"

_STATEMENTS = """
ALTER TABLE events ADD COLUMN client_id TEXT;

CREATE TABLE client_ids (
    client_id TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    chunk UUID NOT NULL,
    position INTEGER NOT NULL,
    accepted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (client_id, digest)
);

CREATE INDEX client_ids_accepted ON client_ids USING brin (accepted_at);

CREATE TABLE duplicates (
    chunk UUID NOT NULL,
    position INTEGER NOT NULL,
    first_chunk UUID NOT NULL,
    first_position INTEGER NOT NULL,
    accepted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (chunk, position)
);

CREATE INDEX duplicates_accepted ON duplicates USING brin (accepted_at);
"""


def upgrade() -> None:
    """Add them; code that knows nothing of them goes on as before."""
    op.get_bind().exec_driver_sql(_STATEMENTS)
