"""Recording what became of chunks: one transaction, once in effect however often they are delivered."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain

from sqlalchemy import Connection, text

from detection import Severity
from pipeline.ids import EventId
from pipeline.storage import _rows, client_ids, hours, locks, rejections
from pipeline.storage._copy import copy
from pipeline.storage._rows import Judged, Origin

__all__ = ["Claim", "Found", "Judged", "Origin", "Summary", "claim", "claim_one", "record"]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a chunk's row says: how many of its events were judged, how many of these flagged, and how many are dead.

    One that was ``split`` says only how many events its parts have to settle.
    """

    origin: Origin
    judged: int = 0
    flagged: int = 0
    dead: int = 0
    rule_set: str | None = None
    split: int = 0

    def row(self) -> tuple[object, ...]:
        """Return the row, in the order of ``_CLAIMED``."""
        origin, weight, dead = self.origin, self.judged + self.dead + self.split, self.dead
        if origin.chunk_id.is_rerun:  # its event was counted as dead before; being judged takes that away
            weight, dead = 0, -self.judged
        return (
            str(origin.chunk_id), "split" if self.split else "settled", origin.lane, origin.accepted_at, weight,
            self.judged, dead, self.flagged, self.rule_set, origin.acceptor, int(origin.accepted_at.timestamp()),
            origin.upload_id,
        )  # fmt: skip


class Found(StrEnum):
    """What was there when a chunk's id was to be inserted."""

    NOTHING = "nothing"
    SETTLED = "settled"  # only the journal still has the chunk
    SPLIT = "split"  # the journal has the chunk or its parts


@dataclass(frozen=True, slots=True)
class Summary:
    """What one transaction wrote: how many chunks, and how many alerts that wait to be sent.

    ``split`` has the ids of those whose parts have to take their place in the journal.
    """

    chunks: int = 0
    to_send: int = 0
    split: frozenset[str] = frozenset()


def claim(connection: Connection, claims: Sequence[Claim]) -> dict[str, Found]:
    """Insert the chunks' ids, which makes everything after it happen once. Returns what was there of each.

    The advisory locks make a second worker wait here, where it can see who blocks it, and not inside a unique index.
    They are taken in the order of the ids, so that two who want the same chunks do not wait for each other.
    """
    columns = zip(*sorted(claim.row() for claim in claims), strict=True)
    found = connection.execute(text(_CLAIM), {f"c{number}": list(column) for number, column in enumerate(columns)})
    new = set(found.scalars())
    others = [chunk_id for claim in claims if (chunk_id := str(claim.origin.chunk_id)) not in new]
    there = dict.fromkeys(new, Found.NOTHING)
    if others:
        states = connection.execute(text("SELECT chunk_id, state FROM chunks WHERE chunk_id = ANY(:c)"), {"c": others})
        there |= {chunk_id: Found(state) for chunk_id, state in states}
    return there


def claim_one(connection: Connection, wanted: Claim) -> Found:
    """Insert one chunk's id. Returns what was there."""
    return claim(connection, [wanted])[str(wanted.origin.chunk_id)]


_CLAIMED = {
    "chunk_id": "text", "state": "text", "lane": "text", "accepted_at": "timestamptz", "events": "int",
    "judged": "int", "dead": "int", "flagged": "int", "rule_set": "text",
    "acceptor": "text", "accepted_second": "bigint", "upload_id": "uuid",
}  # fmt: skip
# An hour that was summed up while the clock was ahead is closed: what is settled in it counts in the one that follows.
_CLAIM = (
    f"WITH locked AS MATERIALIZED (SELECT *, pg_advisory_xact_lock({locks.key('chunk_id')}) FROM unnest("
    f"{', '.join(f'CAST(:c{number} AS {kind}[])' for number, kind in enumerate(_CLAIMED.values()))}"
    f") AS claimed ({', '.join(_CLAIMED)})) "
    f"INSERT INTO chunks (settled_at, {', '.join(_CLAIMED)}) "
    f"SELECT greatest(clock_timestamp(), {hours.OPEN_FROM}), {', '.join(_CLAIMED)} FROM locked "
    "ON CONFLICT DO NOTHING RETURNING chunk_id"
)


def record(connection: Connection, several: Sequence[Judged], *, rule_set: str, send_from: Severity) -> Summary:
    """Write the verdicts of chunks: their ids, findings, alerts, outbox, tallies, refused records, and last the events.

    A chunk that somebody settled or split before is left out.

    Args:
        connection: an open transaction.
        several: the chunks, each with the verdicts on its events.
        rule_set: the digest of the rule set that judged.
        send_from: the least severity whose alerts are sent; milder ones are recorded only.
    """
    if not several:
        return Summary()
    flagged = {str(judged.origin.chunk_id): sum(1 for _ in judged.flagged()) for judged in several}
    found = claim(
        connection,
        [
            Claim(judged.origin, len(judged.verdicts), flagged[str(judged.origin.chunk_id)], rule_set=rule_set)
            for judged in several
        ],
    )
    ours = [judged for judged in several if found[str(judged.origin.chunk_id)] is Found.NOTHING]
    ours = _unrepeated(connection, ours)
    copy(connection, "findings", _rows.FINDING, chain.from_iterable(map(_rows.findings, ours)))
    copy(connection, "alerts", _rows.ALERT, (row for judged in ours for row in _rows.alerts(judged, send_from)))
    to_send = copy(connection, "outbox", _rows.OUTBOX, (row for each in ours for row in _rows.outbox(each, send_from)))
    copy(connection, "tallies", _rows.TALLY, _rows.tallies(ours))
    rejections.keep(connection, [record for judged in ours for record in judged.chunk.rejections])
    if again := [str(judged.origin.chunk_id.event(0)) for judged in ours if judged.origin.chunk_id.is_rerun]:
        connection.execute(text("DELETE FROM dead_letters WHERE event_id = ANY(:events)"), {"events": again})
    copy(connection, "events", _rows.EVENT, chain.from_iterable(map(_rows.events, ours)))
    split = frozenset(chunk_id for chunk_id, there in found.items() if there is Found.SPLIT)
    return Summary(len(ours), to_send, split)


def _unrepeated(connection: Connection, ours: list[Judged]) -> list[Judged]:
    """Return the chunks without the events that were judged before under the same client id; their rows count these."""
    named = [
        (judged.origin.chunk_id.event(index), judged.origin.accepted_at, item.event)
        for judged in ours
        for index, item in enumerate(judged.chunk.events)
        if item.event.client_id is not None
    ]
    found = client_ids.claim(connection, named)
    return [_without(connection, judged, found) for judged in ours]


def _without(connection: Connection, judged: Judged, found: set[EventId]) -> Judged:
    chunk = judged.origin.chunk_id
    repeated = {index for index in range(len(judged.verdicts)) if chunk.event(index) in found}
    if not repeated:
        return judged
    fresh = replace(judged, repeated=repeated)
    counts = {"judged": sum(1 for _ in fresh.events()), "flagged": sum(1 for _ in fresh.flagged())}
    connection.execute(text(_RECOUNT), {"chunk": str(chunk), **counts})
    return fresh


_RECOUNT = (
    "UPDATE chunks SET judged = :judged, duplicates = judged - :judged, flagged = :flagged WHERE chunk_id = :chunk"
)
