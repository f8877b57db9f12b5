"""Strays: verdict rows that nobody accepted, or more of them than their chunk has.

Most rows are appended to a partition's last blocks, so a look reads the blocks that were written since the one before,
however many millions stand before them. Where rows were deleted or did not fit, later ones fill the gaps: so each look
also reads one stretch of all that is stored again, drawn by lot.
"""

import secrets

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from pipeline.storage._operation import reviewed

# A chunk's row is there exactly when its events are: all of it is one transaction, and all of this is one statement.
_COUNTED = """
    SELECT chunk, accepted_at, stored - judged AS rows FROM (
        SELECT chunk, accepted_at,
            (SELECT count(*) FROM {table} e WHERE e.chunk = n.chunk AND e.accepted_at = n.accepted_at) AS stored,
            (SELECT coalesce(sum(c.judged), 0) FROM chunks c WHERE c.accepted_at = n.accepted_at
             AND c.chunk_id >= replace(n.chunk::text, '-', '') AND c.chunk_id < replace(n.chunk::text, '-', '') || '/'
            ) AS judged
        FROM {named} n
    ) AS counted
"""
_REVIEW = (
    "WITH news AS MATERIALIZED (SELECT DISTINCT chunk, accepted_at FROM {table} "
    "WHERE ctid >= '({first},0)'::tid AND ctid < '({last},0)'::tid), "
    f"found AS ({_COUNTED.replace('{named}', 'news')}) "
    "INSERT INTO strays (chunk, accepted_at, rows, found_at) "
    "SELECT chunk, accepted_at, rows, now() FROM found WHERE rows > 0 "
    "ON CONFLICT (chunk, accepted_at) DO UPDATE SET rows = EXCLUDED.rows"
)
_REVISE = (
    f"WITH found AS ({_COUNTED.format(table='events', named='strays')}), gone AS (DELETE FROM strays s USING found f "
    "WHERE s.chunk = f.chunk AND s.accepted_at = f.accepted_at AND f.rows <= 0) "
    "UPDATE strays s SET rows = f.rows FROM found f "
    "WHERE s.chunk = f.chunk AND s.accepted_at = f.accepted_at AND f.rows > 0 AND f.rows <> s.rows"
)
_PARTITIONS = (
    "SELECT p.relname AS name, pg_relation_size(p.oid) / current_setting('block_size')::int AS blocks, r.block "
    "FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhrelid LEFT JOIN reviewed r ON r.partition = p.relname "
    "WHERE i.inhparent = 'events'::regclass"
)
_STRETCH = 256  # blocks


def review(connection: Connection, *, most_blocks: int) -> None:
    """Look at what was written since the last review, at a stretch of the rest, and again at the strays known.

    Args:
        connection: an open transaction.
        most_blocks: how many blocks of a partition are read at most; what is left comes with the next review. A
            partition that is seen for the first time is begun so far from its end.
    """
    partitions = connection.execute(text(_PARTITIONS)).all()
    for name, blocks, done in partitions:
        # A table that was emptied begins anew.
        first = max(0, blocks - most_blocks) if done is None or done > blocks else done
        last = min(blocks, first + most_blocks)
        if first < last:
            connection.execute(text(_REVIEW.format(table=f"ONLY {name}", first=first, last=last)))
        # The last block may still be filled up.
        mark = insert(reviewed).values(partition=name, block=max(0, last - 1))
        connection.execute(
            mark.on_conflict_do_update(index_elements=[reviewed.c.partition], set_={"block": mark.excluded.block})
        )
    if stretches := [(name, first) for name, blocks, _ in partitions for first in range(0, blocks, _STRETCH)]:
        name, first = secrets.choice(stretches)
        connection.execute(text(_REVIEW.format(table=f"ONLY {name}", first=first, last=first + _STRETCH)))
    connection.execute(text(_REVISE))


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
