"""Receipts: was it looked at, when, and by which rule set?"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, text

from pipeline.ids import ChunkId, EventId
from pipeline.journal import Journal
from pipeline.storage import client_ids, dead_letters
from pipeline.storage._engine import transaction
from pipeline.times import rfc3339


class ReceiptState(StrEnum):
    """What became of an event."""

    IN_FLIGHT = "in_flight"
    JUDGED = "judged"
    DUPLICATE = "duplicate"
    DEAD_LETTER = "dead_letter"


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to "was it looked at?"; times are RFC 3339, null where not yet.

    ``duplicate_of`` is the event that said the same under the same client id before.
    """

    event_id: str
    state: ReceiptState
    accepted_at: str | None
    judged_at: str | None = None
    rule_set: str | None = None
    error: str | None = None
    duplicate_of: str | None = None


def find(engine: Engine, journal: Journal, event: EventId) -> Receipt | None:
    """Return an event's receipt, or None when it was never accepted.

    The row of the chunk that carried it answers, so a receipt outlives retention and deletion. Only the time is the
    verdict's, while there is one; the chunk was claimed a moment before.

    Raises:
        JournalUnavailable, StorageUnavailable: what would know is away.
    """
    (open_chunk,) = journal.chunk_events([event.chunk.hex])
    with transaction(engine) as connection:
        settled = _settled(connection, event)
    if settled is not None:
        return settled
    if open_chunk is None or event.position >= open_chunk[0]:
        return None
    return Receipt(str(event), ReceiptState.IN_FLIGHT, rfc3339(datetime.fromtimestamp(open_chunk[1] / 1e6, UTC)))


def _settled(connection: Connection, event: EventId) -> Receipt | None:
    chunk = _chunk(connection, event)
    if chunk is None:
        return None
    accepted_at = rfc3339(chunk["accepted_at"])
    if chunk["state"] == "split":
        return Receipt(str(event), ReceiptState.IN_FLIGHT, accepted_at)
    letter = dead_letters.find(connection, event, chunk_id=chunk["chunk_id"]) if chunk["dead"] else None
    if letter is not None:
        return Receipt(str(event), ReceiptState.DEAD_LETTER, accepted_at, error=letter.error)
    judge = _rerun(connection, event) if chunk["dead"] else chunk
    first = client_ids.first_of(connection, event) if judge and judge["duplicates"] else None
    if judge is not None and first is not None:
        looked_at = rfc3339(judge["settled_at"])
        return Receipt(
            str(event), ReceiptState.DUPLICATE, accepted_at, looked_at, judge["rule_set"], duplicate_of=str(first)
        )
    if judge is None:
        return Receipt(str(event), ReceiptState.DEAD_LETTER, accepted_at, error="it was erased without being judged")
    judged_at = rfc3339(_written_at(connection, event, judge["accepted_at"]) or judge["settled_at"])
    return Receipt(str(event), ReceiptState.JUDGED, accepted_at, judged_at, judge["rule_set"])


def _written_at(connection: Connection, event: EventId, accepted_at: datetime) -> datetime | None:
    query = "SELECT judged_at FROM events WHERE chunk = :chunk AND position = :position AND accepted_at = :at"
    key = {"chunk": event.chunk, "position": event.position, "at": accepted_at}
    return connection.execute(text(query), key).scalar()


def _chunk(connection: Connection, event: EventId) -> dict[str, Any] | None:
    """Return the row of the chunk or half that settled the event, else of one that was split with it."""
    root = ChunkId(event.chunk)
    query = (
        "SELECT chunk_id, state, events, duplicates, dead, accepted_at, settled_at, rule_set FROM chunks "
        "WHERE (chunk_id = :root OR chunk_id > :of AND chunk_id < :next) AND chunk_id NOT LIKE '%~%' ORDER BY state"
    )
    for row in connection.execute(text(query), {"root": str(root), **root.family()}).mappings():
        first = ChunkId.parse(row["chunk_id"]).first
        if first <= event.position < first + row["events"]:
            return dict(row)
    return None


def _rerun(connection: Connection, event: EventId) -> dict[str, Any] | None:
    query = (
        "SELECT duplicates, accepted_at, settled_at, rule_set FROM chunks "
        "WHERE chunk_id LIKE :reruns AND judged + duplicates > 0"
    )
    row = connection.execute(text(query), {"reruns": f"{event}~%"}).mappings().first()
    return None if row is None else dict(row)
