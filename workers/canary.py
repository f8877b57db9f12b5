"""The canary: a signed attack on each lane, every minute, that shows whether an attack would be seen and told.

It takes the way of every chunk: journal, doorbell, lease, scan, transaction, outbox. The recording is a rehearsal, so
that it leaves nothing in verdicts, alerts or figures, and its outbox row ends in the hands of the alert worker.
"""

import hmac
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine

from detection import Event, Severity
from pipeline.chunk import AcceptedEvent, Chunk, encode
from pipeline.errors import PipelineError
from pipeline.ids import ChunkId
from pipeline.journal import Journal, Lane, NewChunk
from pipeline.storage import canaries, rehearsal, transaction, verdicts
from pipeline.storage.canaries import CanaryOutcome
from pipeline.storage.verdicts import Judged, Origin

_ACCEPTOR = "canary"


def send(lane: Lane, *, engine: Engine, journal: Journal, ring: Callable[[Lane, Sequence[str], int], None]) -> ChunkId:
    """Let a canary fly on a lane. It weighs nothing in the ledger.

    Raises:
        JournalFull, JournalUnavailable, QueueUnavailable, StorageUnavailable: one of them is full or away.
    """
    chunk_id = ChunkId.canary()
    with transaction(engine) as connection:
        token = canaries.signature(connection, chunk_id, lane)
        canaries.sent(connection, chunk_id, lane)
    event = Event(datetime.now(UTC).isoformat(), "sentinel", "sentinel", "canary", token, "")
    chunk = NewChunk(str(chunk_id), lane, 1, encode(_chunk([event])))
    try:
        stamp = journal.rerun(chunk, _ACCEPTOR)
    except PipelineError:
        # It did not fly, or nobody waits for it: that it does not come home would say nothing of the lane.
        with transaction(engine) as connection:
            canaries.forget(connection, chunk_id)
        raise
    ring(lane, [str(chunk_id)], stamp)
    return chunk_id


def is_ours(engine: Engine, origin: Origin, chunk: Chunk) -> bool:
    """Say whether a chunk is a canary that this installation sent; anything that merely looks like one is not.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    if not origin.chunk_id.is_canary or len(chunk.events) != 1:
        return False
    with transaction(engine) as connection:
        token = canaries.signature(connection, origin.chunk_id, origin.lane)
    return hmac.compare_digest(token.encode(), chunk.events[0].event.prompt.encode("utf-8", "replace"))


def attack(attacks: Sequence[Event]) -> Chunk:
    """Return what is scanned in a canary's place: attacks on the rules that are in force where it is judged."""
    return _chunk(attacks)


def record(connection: Connection, flown: Sequence[Judged], *, rule_set: str, send_from: Severity) -> int:
    """Rehearse the recording of canaries, and note what became of them. Returns how many left an alert."""
    alerts = 0
    for judged in flown:
        outcome = CanaryOutcome.CLEAN
        if any(verdict.findings for verdict in judged.verdicts):
            outcome = CanaryOutcome.FLAGGED
            with rehearsal(connection):
                verdicts.record(connection, [judged], rule_set=rule_set, send_from=send_from)
        alerts += canaries.judged(connection, judged.origin.chunk_id, outcome)
    return alerts


def fail(engine: Engine, chunk_id: ChunkId) -> None:
    """Note that a canary has exhausted its attempts.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    with transaction(engine) as connection:
        canaries.judged(connection, chunk_id, CanaryOutcome.FAILED)


def _chunk(events: Sequence[Event]) -> Chunk:
    now = int(datetime.now(UTC).timestamp() * 1_000_000)
    return Chunk([AcceptedEvent(now, event) for event in events])
