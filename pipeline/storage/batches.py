"""Batches: what became of the events of one request, read off the chunks they travelled in."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, Engine, text

from pipeline.ids import BatchId
from pipeline.journal import Journal
from pipeline.storage import client_ids
from pipeline.storage._engine import transaction


class BatchState(StrEnum):
    """How far a batch is."""

    QUEUED = "queued"
    PROCESSING = "processing"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """The counts of a batch, in events."""

    batch_id: str
    state: BatchState
    accepted: int
    judged: int
    duplicates: int
    flagged: int
    dead: int


def status(engine: Engine, journal: Journal, batch: BatchId) -> BatchStatus | None:
    """Return how far a batch is, or None when it was never accepted.

    Raises:
        JournalUnavailable, StorageUnavailable: what would know is away.
    """
    ids = [chunk.hex for chunk in batch.chunk_ids()]
    # The journal is read first: a chunk that is settled in between is then seen by PostgreSQL, not by neither.
    waiting = [found[0] for found in journal.chunk_events(ids) if found is not None]
    with transaction(engine) as connection:
        settled = _settled(connection, ids)
        if not _was_given_out(batch, waiting, settled):
            return None
        judged, duplicates, flagged, dead = _counts(connection, batch, settled)
    complete = len(settled) == batch.chunks and not any(left for *_, left in settled.values())
    state = BatchState.DONE if complete else BatchState.PROCESSING if settled else BatchState.QUEUED
    return BatchStatus(str(batch), state, batch.count, judged, duplicates, flagged, dead)


_Settled = dict[str, tuple[int, int, int, int, int, int]]


def _settled(connection: Connection, ids: list[str]) -> _Settled:
    found = connection.execute(text(_SETTLED), {"ids": ids})
    return {chunk_id: tuple(counts) for chunk_id, *counts in found}


# What was split is settled by its halves, and what was dead by its re-runs: their rows count with the chunk's own.
_SETTLED = (
    "SELECT root, sum(events) FILTER (WHERE chunk_id = root), sum(judged), sum(duplicates), sum(flagged), sum(dead), "
    "sum(events) FILTER (WHERE chunk_id = root) - coalesce(sum(events) FILTER (WHERE state = 'settled'), 0) "
    "FROM unnest(CAST(:ids AS text[])) AS wanted (root) "
    "JOIN chunks ON chunk_id >= root AND chunk_id < root || '/' GROUP BY root"
)


def _was_given_out(batch: BatchId, waiting: list[int], settled: _Settled) -> bool:
    sizes = waiting + [row[0] for row in settled.values()]
    if batch.chunks == 1:
        return any(0 < batch.first + batch.count <= size for size in sizes) and batch.count > 0
    return len(sizes) >= batch.chunks and batch.first == 0 and batch.chunks <= batch.count <= sum(sizes)


def _counts(connection: Connection, batch: BatchId, settled: _Settled) -> tuple[int, int, int, int]:
    if not settled:
        return 0, 0, 0, 0
    _, judged, duplicates, flagged, dead, left = (sum(column) for column in zip(*settled.values(), strict=True))
    if batch.chunks > 1:
        return judged, duplicates, flagged, dead
    span = {"chunk": batch.chunk, "first": batch.first, "end": batch.first + batch.count}
    hit = "chunk = :chunk AND position >= :first AND position < :end"
    if flagged:
        query = text(f"SELECT count(*) FROM events WHERE {hit} AND severity IS NOT NULL")
        flagged = connection.execute(query, span).scalar_one()
    if duplicates:
        duplicates = client_ids.count(connection, span)
    if not dead and not left:
        return batch.count - duplicates, duplicates, flagged, 0
    judged = connection.execute(text(f"SELECT count(*) FROM events WHERE {hit}"), span).scalar_one()
    return judged, duplicates, flagged, 0 if left else batch.count - judged - duplicates
