"""Other wordings of the protocol, each of which loses or doubles something: the exploration has to find each out.

The first ones are the counterexamples of the model that the protocol was checked with; the others are slips that a
change could make.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from redis import Redis
from sqlalchemy import Engine, text

from pipeline.chunk import Chunk, decode_event, encode
from pipeline.errors import JournalUnavailable
from pipeline.ids import EventId
from pipeline.journal import Journal, Lane, Leased, NewChunk, OpenChunk
from pipeline.storage import dead_letters, ledger, transaction, verdicts
from pipeline.storage.verdicts import Found
from tests.integration.pipeline.bench import accept
from tests.integration.pipeline.chunk_world import ChunkWorld, Flush
from tests.integration.pipeline.chunk_world import accept as as_it_is
from tests.integration.pipeline.stepping import SteppedJournal
from workers import detect

_NEVER = "9" * 17
_AT_THE_END = datetime.max.replace(tzinfo=UTC)


def script(name: str, *changes: tuple[str, str]) -> type[SteppedJournal]:
    """Return the journal with one of its scripts worded otherwise."""

    class Reworded(SteppedJournal):
        def __init__(self, redis: Redis, **options: Any) -> None:
            super().__init__(redis, **options)
            source = str(self._scripts[name].script)
            for old, new in changes:
                assert old in source, f"{name} has no {old!r} any more"
                source = source.replace(old, new)
            self._scripts[name] = redis.register_script(source)

    return Reworded


ACCEPT_ALWAYS = script(
    "accept",
    ("local late = tonumber(seen[1] or 0) >= tonumber(ARGV[2])", "local late = false"),
    ("if redis.call('EXISTS', entry(id)) == 1 then return false end", ""),
)
ACCEPT_WHAT_IS_NOT_OPEN = script(
    "accept", ("local late = tonumber(seen[1] or 0) >= tonumber(ARGV[2])", "local late = false")
)
CHECKPOINT_ALWAYS = script("advance_upload", ("redis.call('HGET', key, 'checkpoint') ~= ARGV[2]", "false"))
COMPANY_IS_BLAMED = script("lease_more", ("'begun', 0, 'company', 1", "'company', 1"))
HALVES_ARE_NEW = script("split", ("ARGV[i + 2], at, acceptor", "ARGV[i + 2], now() + 1000000, acceptor"))


class NothingCounts(SteppedJournal):
    """Only a death counts as an attempt, an error does not."""

    def fail(self, leased: Leased, error: str) -> None:  # noqa: ARG002
        """Give the lease back."""
        self.postpone(leased)


class LostLeasesCount(SteppedJournal):
    """A lease that its holder never heard of counts as an attempt."""

    def lease(self, entry_id: str, token: str) -> Leased | None:
        """Take a lease, and leave it to its end when no answer came."""
        self._heard = False
        found = super().lease(entry_id, token)
        self._heard = True
        return found

    def _run(self, name: str, arguments: Any) -> Any:
        if name == "postpone" and not self._heard:
            raise JournalUnavailable
        return super()._run(name, arguments)


def delete_before_commit(chunk_id: str, bench: detect.Bench) -> object:
    """Take the chunk out of the journal, and then judge it."""
    body = Journal(bench.journal._redis)._redis.hgetall(f"sentinel:entry:{chunk_id}")
    leased = bench.journal.lease(chunk_id, "token")
    if leased is None:
        return None
    bench.journal.settle(chunk_id)
    return detect._judge([leased], bench) if body else None


def answer_before_journal(world: ChunkWorld, chunks: Flush, number: int) -> bool:
    """Say 202, whatever becomes of the write."""
    with suppress(JournalUnavailable):
        as_it_is(world, chunks, number)
    return True


def ring_before_journal(world: ChunkWorld, chunks: Flush, number: int) -> bool:
    """Ring, and then write."""
    world.ring(Lane.REALTIME, [chunk.chunk_id for chunk in chunks], int(_NEVER))
    return as_it_is(world, chunks, number)


def unguarded_sweep(_: Redis, journal: Journal, ring: Callable[..., None]) -> None:
    """Ring for everything that is not leased, whatever waits in the queue."""
    for lane in Lane:
        stamp, entries = journal.due(lane, _NEVER, limit=10)
        ring(lane, entries, stamp)


def rerun_from_scratch(event: EventId, *, journal: Journal, engine: Engine, celery: Any) -> None:
    """Forget that the event was ever dead, and then journal it."""
    with transaction(engine) as connection:
        if letter := dead_letters.find(connection, event):
            connection.execute(text("DELETE FROM dead_letters; DELETE FROM chunks"))
    if letter:
        chunk = _again(letter, event.chunk.hex)
        celery.ring(Lane.REALTIME, [chunk.chunk_id], journal.rerun(chunk, "rerun"))


def rerun_through_accept(event: EventId, *, journal: Journal, engine: Engine, celery: Any) -> None:
    """Post the event as if it were a new one."""
    with transaction(engine) as connection:
        letter = dead_letters.find(connection, event)
    if letter:
        chunk = _again(letter, f"{event}~1")
        celery.ring(Lane.REALTIME, [chunk.chunk_id], accept(journal, "rerun", 1, [chunk]))


@contextmanager
def unkeyed(engine: Engine) -> Iterator[None]:
    """Take the keys of what a chunk writes away during a block: they alone would refuse to store an event twice."""
    keys = {"events": "chunk, position, accepted_at", "alerts": "alert_id, accepted_at", "outbox": "alert_id"}
    with transaction(engine) as connection:
        for table in keys:
            connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey"))
    try:
        yield
    finally:
        with transaction(engine) as connection:
            for table, key in keys.items():
                connection.execute(text(f"TRUNCATE {table}; ALTER TABLE {table} ADD PRIMARY KEY ({key})"))


def _again(letter: dead_letters.DeadLetter, chunk_id: str) -> NewChunk:
    return NewChunk(chunk_id, Lane.REALTIME, 1, encode(Chunk([decode_event(letter.body)])))


def claim_always(
    real: Callable[..., dict[str, Found]], connection: Any, claims: Sequence[verdicts.Claim]
) -> dict[str, Found]:
    """Write a chunk's verdicts whether or not its id was there."""
    real(connection, claims)
    return {str(claim.origin.chunk_id): Found.NOTHING for claim in claims}


def drop_what_is_split(
    real: Callable[..., tuple[detect.Ending, verdicts.Summary]], ending: detect.Ending, leased: Leased, there: Found
) -> tuple[detect.Ending, verdicts.Summary]:
    """Take a chunk that somebody split before for one that is settled."""
    return (ending, verdicts.Summary()) if there is Found.SPLIT else real(ending, leased, there)


def open_means_unknown(connection: Any, reading: Any) -> list[OpenChunk]:
    """Count an open chunk unless PostgreSQL knows its id, whatever it knows of it."""
    known = set(connection.execute(text("SELECT chunk_id FROM chunks")).scalars())
    return [chunk for chunk in reading.opened if chunk.chunk_id not in known]


# What is put in the place of a function of a module: (module, name, another one).
Patch = tuple[object, str, object]
NO_UNIQUE_CHUNK: Patch = (verdicts, "claim", partial(claim_always, verdicts.claim))
LEDGER_WITHOUT_CUT: Patch = (
    ledger,
    "_settled",
    lambda connection, reading, real=ledger._settled: real(connection, replace(reading, at=_AT_THE_END)),
)
SPLIT_IS_SETTLED: Patch = (ledger, "_still_open", open_means_unknown)
SPLIT_IS_DROPPED: Patch = (detect, "_ended", partial(drop_what_is_split, detect._ended))
