"""What does it mean? Load a chunk, scan it, record it, and hand on: the line that every event goes through."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from secrets import token_hex
from traceback import extract_tb
from typing import Protocol

import structlog
from sqlalchemy import Engine

from detection import Event, Severity, Verdict
from pipeline.chunk import Chunk, UndecodableChunk, decode
from pipeline.errors import JournalUnavailable, LockedByAnother, StorageUnavailable
from pipeline.ids import ChunkId
from pipeline.journal import Journal, Leased
from pipeline.storage import dead_letters, transaction, verdicts
from pipeline.storage.verdicts import Judged, Origin, Summary

_BURIALS = 2


class Ending(StrEnum):
    """How one run over a chunk ended."""

    JUDGED = "judged"
    DROPPED = "dropped"  # the chunk is gone, or somebody else works on it
    POSTPONED = "postponed"  # PostgreSQL is away; no attempt is counted
    FAILED = "failed"  # an attempt is counted
    DEAD = "dead"


class Scans(Protocol):
    """What judges one event."""

    def scan(self, event: Event) -> Verdict:
        """Return the verdict."""
        ...


@dataclass(frozen=True, slots=True)
class Bench:
    """What a worker works with.

    Attributes:
        notify: tells the alert worker that something waits for it.
        company: whether small chunks that wait may be judged together.
    """

    journal: Journal
    engine: Engine
    scanner: Scans
    rule_set: str
    send_from: Severity
    notify: Callable[[], None]
    company: bool = True


def run(chunk_id: str, bench: Bench) -> Ending:
    """Judge a chunk: lease, scan, record in one transaction, and only then take it out of the journal.

    Others as small and as new, whose doorbells wait, are judged in its company.

    Raises:
        JournalUnavailable: Redis is away; the lease runs out by itself.
    """
    leased = bench.journal.lease(chunk_id, token_hex(8))
    if leased is None:
        return Ending.DROPPED
    several = [leased, *_company(leased, bench)]
    log = structlog.get_logger().bind(chunk_id=chunk_id)
    try:
        outcome, summary = _bury(leased, bench) if leased.exhausted else _judge(several, bench)
    except StorageUnavailable as error:
        log.warning("chunk_postponed", chunks=len(several), error=str(error))
        if isinstance(error, LockedByAnother):
            _make_way(several, bench)
        bench.journal.postpone(*several)
        return Ending.POSTPONED
    except Exception as error:  # noqa: BLE001 - whatever a chunk makes happen is its failed attempt
        # An error's message may quote the event: it goes to the dead letter, the log gets the place.
        where = [f"{frame.filename}:{frame.lineno}" for frame in extract_tb(error.__traceback__)[-3:]]
        log = log.bind(error=type(error).__name__, where=where)
        if len(several) > 1:
            log.warning("company_parted", chunks=len(several))
            return _one_by_one(several, bench)
        log.error("chunk_failed", attempt=leased.number("attempts") + 1)  # noqa: TRY400 - see above
        bench.journal.fail(leased, f"{type(error).__name__}: {error}")
        return Ending.FAILED
    bench.journal.settle(*(each.entry_id for each in several))
    if summary.to_send:
        bench.notify()
    return outcome


def _company(leased: Leased, bench: Bench) -> list[Leased]:
    if leased.exhausted or not bench.company:
        return []
    try:
        return bench.journal.lease_more(leased)
    except JournalUnavailable:  # what was taken unheard comes back when its lease runs out
        return []


def _one_by_one(several: Sequence[Leased], bench: Bench) -> Ending:
    # Nobody can say whose fault it was. No attempt is counted, and the journal lets none of them into company again.
    bench.journal.postpone(*several)
    ending, *_ = [run(each.entry_id, bench) for each in several]
    return ending


def _judge(several: Sequence[Leased], bench: Bench) -> tuple[Ending, Summary]:
    judged = []
    for leased in several:
        chunk = decode(leased.fields["body"])
        judged.append(Judged(_origin(leased, chunk), chunk, [bench.scanner.scan(item.event) for item in chunk.events]))
    with transaction(bench.engine) as connection:
        summary = verdicts.record(connection, judged, rule_set=bench.rule_set, send_from=bench.send_from)
    return Ending.JUDGED, summary


def _bury(leased: Leased, bench: Bench) -> tuple[Ending, Summary]:
    attempts = leased.number("attempts")
    error = leased.text("error") or "the worker died each time, without a word"
    chunk: Chunk | None = None
    if attempts >= bench.journal.max_attempts + _BURIALS:
        error = f"burying its events one by one failed too; before that: {error}"
    else:
        try:
            chunk = decode(leased.fields["body"])
        except UndecodableChunk as reason:
            error = f"it cannot be read: {reason}"
    origin = _origin(leased, chunk)
    with transaction(bench.engine) as connection:
        if chunk is None:
            body, events = leased.fields["body"], leased.number("events")
            new = dead_letters.bury_whole(connection, origin, body, events=events, attempts=attempts, error=error)
        else:
            new = dead_letters.bury(connection, origin, chunk, attempts=attempts, error=error)
    structlog.get_logger().error("chunk_dead", chunk_id=leased.entry_id, events=leased.number("events"))
    return Ending.DEAD, Summary(int(new))


def _origin(leased: Leased, chunk: Chunk | None) -> Origin:
    accepted_at = datetime.fromtimestamp(leased.number("at") / 1e6, UTC)
    upload_id = leased.text("upload") or (chunk.upload_id if chunk else None) or None
    return Origin(ChunkId.parse(leased.entry_id), leased.text("lane"), accepted_at, leased.text("acceptor"), upload_id)


def _make_way(several: Sequence[Leased], bench: Bench) -> None:
    # A worker frozen in the middle of its transaction holds a chunk's lock, and no time-out of PostgreSQL ends it.
    try:
        if ended := verdicts.evict_blockers(bench.engine, [each.entry_id for each in several]):
            structlog.get_logger().warning("blocker_ended", chunk_id=several[0].entry_id, backends=ended)
    except StorageUnavailable:
        return
