"""Flagged events that do not name their rules, as workers of an older release write them during a rolling update."""

from sqlalchemy import Connection, text

# In the order of their own index: PostgreSQL believes that there are many, and would else look through all events.
_FIND = """
SELECT accepted_at, chunk, position FROM events WHERE severity IS NOT NULL AND rules IS NULL
ORDER BY accepted_at LIMIT :most
"""
_NAME = """
UPDATE events SET rules = coalesce((
    SELECT array_agg(DISTINCT f.rule_id ORDER BY f.rule_id) FROM findings f
    WHERE f.accepted_at = :accepted_at AND f.chunk = :chunk AND f.position = :position
), '{}')
WHERE accepted_at = :accepted_at AND chunk = :chunk AND position = :position
"""


def name_rules(connection: Connection, *, most: int) -> int:
    """Name the rules of at most so many of them, so that filters by rule find them. Returns how many there were."""
    found = [dict(row) for row in connection.execute(text(_FIND), {"most": most}).mappings()]
    if found:
        connection.execute(text(_NAME), found)
    return len(found)
