"""Strays: verdict rows that nobody accepted, or more of them than their chunk has.

Most rows are appended to a partition's last blocks, so each look reads the blocks that were written since the last one.
PostgreSQL also fills gaps among old rows with new ones: so every partition that was written to, as PostgreSQL itself
counts that, is read again from its first chunk to its last, in slices; only the index of its key is read. One that was
not costs nothing, however large it is. A look takes a fixed time, whatever is stored: a pass takes as many as it needs.
"""

import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.dialects.postgresql import insert

from pipeline.storage import locks
from pipeline.storage._engine import transaction
from pipeline.storage._operation import reviewed

_FIRST = UUID(int=0)
_SECONDS = 0.2
_FEW_BLOCKS, _FEW_ROWS = 64, 2_000
_NEWEST_BLOCKS = 2_048  # what is written beyond them between two looks is left to the pass
_LOCK = "strays"
# By lot, so that none waits for ever where time runs out before the last.
_DUE = """
    SELECT * FROM (
        SELECT p.relname AS name, pg_stat_get_tuples_inserted(p.oid) + pg_stat_get_tuples_updated(p.oid) AS counted,
            pg_relation_size(p.oid) / current_setting('block_size')::int AS blocks,
            coalesce(r.block, 0) AS block, r.written, r.next
        FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhrelid LEFT JOIN reviewed r ON r.partition = p.relname
        WHERE i.inhparent = 'events'::regclass
    ) AS parts WHERE blocks > 0 AND (next IS NOT NULL OR written IS DISTINCT FROM counted) ORDER BY random()
"""
# A chunk's row is there exactly when its events are: all of it is one transaction, and each of these is one statement.
_JUDGED = """(SELECT coalesce(sum(c.judged), 0) FROM chunks c WHERE c.accepted_at = n.accepted_at
    AND c.chunk_id >= replace(n.chunk::text, '-', '') AND c.chunk_id < replace(n.chunk::text, '-', '') || '/')"""
_NOTE = """
    INSERT INTO strays (chunk, accepted_at, rows, found_at)
    SELECT chunk, accepted_at, rows, now() FROM found WHERE rows > 0
    ON CONFLICT (chunk, accepted_at) DO UPDATE SET rows = EXCLUDED.rows
"""
_NEWEST = f"""
    WITH news AS MATERIALIZED (
        SELECT DISTINCT chunk, accepted_at FROM ONLY {{table}} WHERE ctid >= '({{first}},0)' AND ctid < '({{last}},0)'
    ), found AS (
        SELECT chunk, accepted_at, (SELECT count(*) FROM ONLY {{table}} e
            WHERE e.chunk = n.chunk AND e.accepted_at = n.accepted_at) - {_JUDGED} AS rows FROM news n
    ) {_NOTE}
"""
_REVIEW = f"""
    WITH stored AS MATERIALIZED (
        SELECT chunk, accepted_at, count(*) AS rows FROM (
            SELECT chunk, accepted_at FROM ONLY {{table}} WHERE chunk >= :first ORDER BY chunk LIMIT :most
        ) AS slice GROUP BY chunk, accepted_at
    ), found AS (SELECT chunk, accepted_at, rows - {_JUDGED} AS rows FROM stored n), noted AS ({_NOTE})
    SELECT sum(rows) AS seen, (SELECT chunk FROM stored ORDER BY chunk DESC LIMIT 1) AS last FROM stored
"""
_REVISE = f"""
    WITH found AS (
        SELECT chunk, accepted_at, (SELECT count(*) FROM events e
            WHERE e.chunk = n.chunk AND e.accepted_at = n.accepted_at) - {_JUDGED} AS rows
        FROM (SELECT chunk, accepted_at FROM strays ORDER BY random() LIMIT 20000) n
    ), gone AS (
        DELETE FROM strays s USING found f WHERE s.chunk = f.chunk AND s.accepted_at = f.accepted_at AND f.rows <= 0
    ) UPDATE strays s SET rows = f.rows FROM found f
    WHERE s.chunk = f.chunk AND s.accepted_at = f.accepted_at AND f.rows > 0 AND f.rows <> s.rows
"""


def review(engine: Engine, *, seconds: float = _SECONDS, rows: int = _FEW_ROWS) -> None:
    """Look at what was written last, at the next slices of what was written to, and again at the strays known.

    Two never do so at once: the second one leaves it to the first.

    Args:
        engine: where it is stored.
        seconds: for how long, shared by all partitions; each that is looked at is so for at least one slice.
        rows: how many rows the first slice has.

    Raises:
        StorageUnavailable: PostgreSQL is away, or read a slice for seconds; the next review goes on.
    """
    until = time.monotonic() + seconds
    with transaction(engine) as connection:
        due = connection.execute(text(_DUE)).all()
    for done, part in enumerate(due):
        left = max(0.0, until - time.monotonic())
        if done and not left:
            break
        with transaction(engine) as connection:
            if not _alone(connection):
                return
            _review(connection, part, seconds=left / (len(due) - done), rows=rows)
    with transaction(engine) as connection:
        if _alone(connection):
            connection.execute(text(_REVISE))


def _alone(connection: Connection) -> bool:
    connection.execute(text("SET LOCAL statement_timeout = '2s'"))
    return locks.is_had(connection, _LOCK)


def _review(connection: Connection, part: Row[Any], *, seconds: float, rows: int) -> None:
    until = time.monotonic() + seconds
    # A table that was emptied begins anew.
    block = max(part.blocks - _NEWEST_BLOCKS, part.block if part.block <= part.blocks else 0)
    for size in _slices(_FEW_BLOCKS, until=until - seconds / 2):
        last = min(block + size, part.blocks)
        connection.execute(text(_NEWEST.format(table=part.name, first=block, last=last)))
        block = last
        if last == part.blocks:
            break
    following = part.next or _FIRST
    for size in _slices(rows, until=until):
        at = {"first": following, "most": size}
        found = connection.execute(text(_REVIEW.format(table=part.name)), at).one()
        if found.seen != size:
            following = None
            break
        following = _behind(following, found.last)
    mark = {
        "block": max(0, block - 1),  # it may still be filled up
        # What is written while a pass is under way begins the next one.
        "written": part.counted if part.next is None else part.written,
        "next": following,
    }
    note = insert(reviewed).values(partition=part.name, **mark)
    connection.execute(note.on_conflict_do_update(index_elements=[reviewed.c.partition], set_=mark))


def _slices(size: int, *, until: float) -> Iterator[int]:
    """Give the sizes of slices: each as large as all before it, the first in any case, the others if they fit in."""
    begun = time.monotonic()
    while True:
        yield size
        now = time.monotonic()
        if now + (now - begun) > until:
            return
        size *= 2


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
