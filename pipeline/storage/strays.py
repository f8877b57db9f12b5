"""Strays: verdict rows that nobody accepted, or more of them than their chunk has.

They may stand anywhere: PostgreSQL fills gaps among old rows with new ones. So every partition that was written to, as
PostgreSQL itself counts that, is read again from its first chunk to its last, in slices; only the index of its key is
read. One that was not costs nothing, however large it is.
"""

from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from pipeline.storage._operation import reviewed

_FIRST = UUID(int=0)
_LOOKS_A_PASS = 6
_LEAST_ROWS, _MOST_ROWS = 100_000, 750_000
_PARTITIONS = """
    SELECT p.relname AS name, pg_stat_get_tuples_inserted(p.oid) + pg_stat_get_tuples_updated(p.oid) AS counted,
        greatest(p.reltuples, pg_stat_get_live_tuples(p.oid))::bigint AS rows, r.written, r.next
    FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhrelid LEFT JOIN reviewed r ON r.partition = p.relname
    WHERE i.inhparent = 'events'::regclass ORDER BY p.relname DESC
"""
# A chunk's row is there exactly when its events are: all of it is one transaction, and each of these is one statement.
_JUDGED = """(SELECT coalesce(sum(c.judged), 0) FROM chunks c WHERE c.accepted_at = n.accepted_at
    AND c.chunk_id >= replace(n.chunk::text, '-', '') AND c.chunk_id < replace(n.chunk::text, '-', '') || '/')"""
_REVIEW = f"""
    WITH stored AS MATERIALIZED (
        SELECT chunk, accepted_at, count(*) AS rows FROM (
            SELECT chunk, accepted_at FROM ONLY {{table}} WHERE chunk >= :first ORDER BY chunk LIMIT :most
        ) AS slice GROUP BY chunk, accepted_at
    ), found AS (SELECT chunk, accepted_at, rows - {_JUDGED} AS rows FROM stored n), noted AS (
        INSERT INTO strays (chunk, accepted_at, rows, found_at)
        SELECT chunk, accepted_at, rows, now() FROM found WHERE rows > 0
        ON CONFLICT (chunk, accepted_at) DO UPDATE SET rows = EXCLUDED.rows
    ) SELECT sum(rows) AS seen, (SELECT chunk FROM stored ORDER BY chunk DESC LIMIT 1) AS last FROM stored
"""
_REVISE = f"""
    WITH found AS (
        SELECT chunk, accepted_at, (SELECT count(*) FROM events e
            WHERE e.chunk = n.chunk AND e.accepted_at = n.accepted_at) - {_JUDGED} AS rows FROM strays n
    ), gone AS (
        DELETE FROM strays s USING found f WHERE s.chunk = f.chunk AND s.accepted_at = f.accepted_at AND f.rows <= 0
    ) UPDATE strays s SET rows = f.rows FROM found f
    WHERE s.chunk = f.chunk AND s.accepted_at = f.accepted_at AND f.rows > 0 AND f.rows <> s.rows
"""


def review(connection: Connection, *, most_rows: int = _MOST_ROWS) -> None:
    """Look at the next slice of what was written to since it was last looked at, and again at the strays known.

    Args:
        connection: an open transaction.
        most_rows: how many rows are looked at; a partition of up to six times as many is seen whole in six reviews.
    """
    left = most_rows
    for part in connection.execute(text(_PARTITIONS)).all():
        if (part.next is None and part.written == part.counted) or left <= 0:
            continue
        first, most = part.next or _FIRST, min(left, max(_LEAST_ROWS, part.rows // _LOOKS_A_PASS))
        found = connection.execute(text(_REVIEW.format(table=part.name)), {"first": first, "most": most}).one()
        left -= found.seen or 0
        # What is written while a pass is under way begins the next one.
        written = part.counted if part.next is None else part.written
        mark = {"written": written, "next": _behind(first, found.last) if found.seen == most else None}
        note = insert(reviewed).values(partition=part.name, **mark)
        connection.execute(note.on_conflict_do_update(index_elements=[reviewed.c.partition], set_=mark))
    connection.execute(text(_REVISE))


def _behind(first: UUID, last: UUID) -> UUID:
    # The last chunk of a slice may have been seen in part.
    return last if last != first else UUID(int=last.int + 1)


def count(connection: Connection) -> int:
    """Return how many such rows are known."""
    return int(connection.execute(text("SELECT coalesce(sum(rows), 0) FROM strays")).scalar_one())


def first_few(connection: Connection, *, limit: int) -> list[tuple[str, int]]:
    """Return the chunks that rows name which nobody accepted, with how many rows."""
    rows = connection.execute(
        text("SELECT replace(chunk::text, '-', ''), rows FROM strays ORDER BY found_at, chunk LIMIT :limit"),
        {"limit": limit},
    )
    return [(chunk, int(found)) for chunk, found in rows]
