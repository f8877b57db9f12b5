"""Indexes in the order in which verdicts are read, and with each event the rules that matched it."""

from alembic import op

revision = "0004"
down_revision = "0003"

_STATEMENTS = """
SET LOCAL statement_timeout = 0;

ALTER TABLE events ADD COLUMN rules TEXT[];

UPDATE events SET rules = matched.rules
FROM (
    SELECT accepted_at, chunk, position, array_agg(DISTINCT rule_id ORDER BY rule_id) AS rules
    FROM findings GROUP BY accepted_at, chunk, position
) AS matched
WHERE events.accepted_at = matched.accepted_at AND events.chunk = matched.chunk
    AND events.position = matched.position;

DROP INDEX events_received, events_flagged, events_upload, events_session, findings_rule;

CREATE INDEX events_order ON events (received_at, chunk, position);

CREATE INDEX events_flagged ON events (received_at, chunk, position) WHERE severity IS NOT NULL;

CREATE INDEX events_severity ON events (severity, received_at, chunk, position) WHERE severity IS NOT NULL;

CREATE INDEX events_upload ON events (upload_id, received_at, chunk, position) WHERE upload_id IS NOT NULL;

CREATE INDEX events_values ON events USING gin ((
    ARRAY['user=' || left("user", 500), 'agent=' || left(agent, 500), 'tool=' || left(tool, 500),
        'session=' || left(session_id, 500)] || rules
)) WITH (gin_pending_list_limit = 512);
"""


def upgrade() -> None:
    """Add them; it takes about a minute for each million events. Code that knows nothing of them goes on as before."""
    op.get_bind().exec_driver_sql(_STATEMENTS)
