"""Clients' own event ids: the same id with the same body is a duplicate, and the same id with another is judged.

An id alone decides nothing, or whoever used it first could keep later events of that id from being judged.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, text

from detection import Event
from pipeline.ids import EventId

_encoder = msgspec.msgpack.Encoder(order="deterministic")


def digest(event: Event) -> bytes:
    """Return the hash of what an event says. Spaces and the order of members in its JSON make no difference."""
    said = {name: value for name in event.__struct_fields__ if (value := getattr(event, name)) is not None}
    return hashlib.blake2b(_encoder.encode(said), digest_size=32).digest()


def claim(connection: Connection, named: Sequence[tuple[EventId, datetime, Event]]) -> set[EventId]:
    """Write down the client ids of events, all of one transaction in one call, and return which are duplicates.

    Ids are inserted in their order. Two transactions that hold some of each other's therefore never wait in a circle:
    the later one waits until the earlier has committed, and then finds its duplicates, or has rolled back.

    Args:
        connection: an open transaction that has claimed its chunks already.
        named: the events that have a client id, with our id of each and the time it was accepted.
    """
    if not named:
        return set()
    events = {
        "ids": [event.client_id for *_, event in named],
        "digests": [digest(event) for *_, event in named],
        "chunks": [event_id.chunk.hex for event_id, *_ in named],
        "positions": [event_id.position for event_id, *_ in named],
        "times": [accepted_at for _, accepted_at, _ in named],
    }
    if connection.execute(text(f"{_GIVEN} {_INSERT}"), events).rowcount == len(named):
        return set()
    found = connection.execute(text(f"{_GIVEN} {_DUPLICATES}"), events)
    return {EventId(row.chunk, row.position) for row in found}


def first_of(connection: Connection, event: EventId) -> EventId | None:
    """Return the event that a duplicate repeats, or None where it is no duplicate."""
    query = "SELECT first_chunk, first_position FROM duplicates WHERE chunk = :chunk AND position = :position"
    row = connection.execute(text(query), {"chunk": event.chunk, "position": event.position}).first()
    return None if row is None else EventId(row.first_chunk, row.first_position)


def bearers(connection: Connection, client_id: str, *, limit: int) -> list[EventId]:
    """Return the events that bear a client id, the oldest first: several where each says something else."""
    query = "SELECT chunk, position FROM client_ids WHERE client_id = :id ORDER BY accepted_at LIMIT :limit"
    found = connection.execute(text(query), {"id": client_id, "limit": limit})
    return [EventId(row.chunk, row.position) for row in found]


def count(connection: Connection, span: Mapping[str, object]) -> int:
    """Return how many of a chunk's events from ``first`` up to ``end`` are duplicates."""
    query = "SELECT count(*) FROM duplicates WHERE chunk = :chunk AND position >= :first AND position < :end"
    return int(connection.execute(text(query), span).scalar_one())


def erase(connection: Connection, hit: str, span: Mapping[str, object]) -> None:
    """Forget the ids of the events that the condition ``hit`` finds, while they are still there."""
    mine = "c.client_id = e.client_id AND c.chunk = e.chunk AND c.position = e.position"
    connection.execute(text(f"DELETE FROM client_ids c USING (SELECT * FROM events WHERE {hit}) e WHERE {mine}"), span)


_GIVEN = (
    "WITH given AS (SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:digests AS bytea[]), CAST(:chunks AS uuid[]), "
    "CAST(:positions AS integer[]), CAST(:times AS timestamptz[])) "
    "WITH ORDINALITY AS g (client_id, digest, chunk, position, accepted_at, nth))"
)
_INSERT = (
    "INSERT INTO client_ids (client_id, digest, chunk, position, accepted_at) "
    'SELECT client_id, digest, chunk, position, accepted_at FROM given ORDER BY client_id COLLATE "C", digest, nth '
    "ON CONFLICT DO NOTHING"
)
_DUPLICATES = (
    "INSERT INTO duplicates (chunk, position, first_chunk, first_position, accepted_at) "
    "SELECT g.chunk, g.position, c.chunk, c.position, g.accepted_at "
    "FROM given g JOIN client_ids c USING (client_id, digest) WHERE (c.chunk, c.position) <> (g.chunk, g.position) "
    "RETURNING chunk, position"
)
