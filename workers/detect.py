"""What does it mean? Load a chunk, scan it, record it, and hand on: the line that every event goes through."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise
from math import isqrt
from secrets import token_hex
from time import monotonic
from traceback import extract_tb
from typing import Protocol

import structlog
from sqlalchemy import Engine

from detection import Event, Severity, Verdict
from pipeline.chunk import Chunk, UndecodableChunk, decode, encode
from pipeline.errors import JournalUnavailable, LockedByAnother, StorageUnavailable
from pipeline.ids import ChunkId
from pipeline.journal import Journal, Lane, Leased, NewChunk
from pipeline.storage import dead_letters, locks, transaction, verdicts
from pipeline.storage.verdicts import Claim, Found, Judged, Origin, Summary
from workers import canary

_PARTINGS = 2
# A company that failed is judged one by one until then; beyond, an innocent chunk might be under way at the time limit.
_PARTED_SECONDS = 2.0


class Ending(StrEnum):
    """How one run over a chunk ended."""

    JUDGED = "judged"
    DROPPED = "dropped"  # the chunk is gone, or somebody else works on it
    POSTPONED = "postponed"  # PostgreSQL is away, or a company took long; no attempt is counted
    FAILED = "failed"  # an attempt is counted
    SPLIT = "split"  # its parts take its place
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
        attacks: gives attacks on the rules in force, for canaries.
        holder: what the tokens of this process' leases begin with.
    """

    journal: Journal
    engine: Engine
    scanner: Scans
    rule_set: str
    send_from: Severity
    notify: Callable[[], None]
    company: bool = True
    attacks: Callable[[], Sequence[Event]] = tuple
    holder: str = ""


def run(chunk_id: str, bench: Bench) -> Ending:
    """Judge a chunk: lease, scan, record in one transaction, and only then take it out of the journal.

    Others as small and as new, whose doorbells wait, are judged in its company.

    Raises:
        JournalUnavailable: Redis is away; the lease runs out by itself.
    """
    began = monotonic()
    leased = bench.journal.lease(chunk_id, bench.holder + token_hex(8))
    if leased is None:
        return Ending.DROPPED
    several = [leased, *_company(leased, bench)]
    log = structlog.get_logger().bind(chunk_id=chunk_id)
    try:
        outcome, summary = _give_up(leased, bench) if leased.exhausted else _judge(several, bench)
        parts = {each.entry_id: _parts(each) for each in several if each.entry_id in summary.split}
    except StorageUnavailable as error:
        log.warning("chunk_postponed", chunks=len(several), error=str(error))
        if isinstance(error, LockedByAnother):
            locks.make_way(bench.engine, [each.entry_id for each in several])
        bench.journal.postpone(*several)
        return Ending.POSTPONED
    except Exception as error:  # noqa: BLE001 - whatever a chunk makes happen is its failed attempt
        # An error's message may quote the event: it goes to the dead letter, the log gets the place.
        where = [f"{frame.filename}:{frame.lineno}" for frame in extract_tb(error.__traceback__)[-3:]]
        log = log.bind(error=type(error).__name__, where=where)
        if len(several) > 1:
            log.warning("company_parted", chunks=len(several))
            return _one_by_one(several, bench, until=began + _PARTED_SECONDS)
        log.error("chunk_failed", attempt=leased.number("attempts") + 1)  # noqa: TRY400 - see above
        bench.journal.fail(leased, f"{type(error).__name__}: {error}")
        return Ending.FAILED
    for entry_id, all_of_it in parts.items():
        bench.journal.split(entry_id, all_of_it)
    if settled := [each.entry_id for each in several if each.entry_id not in parts]:
        bench.journal.settle(*settled)
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


def _one_by_one(several: Sequence[Leased], bench: Bench, *, until: float) -> Ending:
    # Nobody can say whose fault it was. No attempt is counted, and the journal lets none of them into company again.
    # The sweep rings for those that are not reached in time.
    bench.journal.postpone(*several)
    endings = [run(each.entry_id, bench) for each in several if monotonic() < until]
    return endings[0] if endings else Ending.POSTPONED


def _judge(several: Sequence[Leased], bench: Bench) -> tuple[Ending, Summary]:
    judged: list[Judged] = []
    flown: list[Judged] = []
    for leased in several:
        chunk = decode(leased.fields["body"])
        origin, ours = _origin(leased, chunk), judged
        if canary.is_ours(bench.engine, origin, chunk):
            chunk, ours = canary.attack(bench.attacks()), flown
        ours.append(Judged(origin, chunk, _scan(leased, chunk, bench)))
    with transaction(bench.engine) as connection:
        summary = verdicts.record(connection, judged, rule_set=bench.rule_set, send_from=bench.send_from)
        alerts = canary.record(connection, flown, rule_set=bench.rule_set, send_from=bench.send_from)
    return Ending.JUDGED, replace(summary, to_send=summary.to_send + alerts)


def _scan(leased: Leased, chunk: Chunk, bench: Bench) -> list[Verdict]:
    """Judge events; where the chunk failed before, noting in the journal which one is next.

    Each note is a write that others wait for, so first few are noted, and each only where it failed after that.
    """
    events = len(chunk.events)
    if not leased.number("attempts") or events == 1:
        return [bench.scanner.scan(item.event) for item in chunk.events]
    found, step = [], isqrt(events)
    closely = leased.number("reached") if "reached" in leased.fields else events
    for position, item in enumerate(chunk.events):
        if position % step == 0 or closely <= position < closely + step:
            bench.journal.reach(leased, position)
        found.append(bench.scanner.scan(item.event))
    bench.journal.reach(leased, events)  # what fails from here on is no single event's fault
    return found


def _give_up(leased: Leased, bench: Bench) -> tuple[Ending, Summary]:
    """Split a chunk that failed too often, so that its innocent events are judged; bury one that cannot be split."""
    if (chunk_id := ChunkId.parse(leased.entry_id)).is_canary:
        canary.fail(bench.engine, chunk_id)
        return Ending.DEAD, Summary()
    attempts = leased.number("attempts")
    error = leased.text("error") or "the worker died each time, without a word"
    if attempts >= bench.journal.max_attempts + _PARTINGS:
        return _bury_whole(leased, bench, f"taking it apart failed too; before that: {error}")
    try:
        chunk = decode(leased.fields["body"])
    except UndecodableChunk as reason:
        return _bury_whole(leased, bench, f"it cannot be read: {reason}")
    origin = _origin(leased, chunk)
    with transaction(bench.engine) as connection:
        if len(chunk.events) > 1:
            ending, there = Ending.SPLIT, verdicts.claim_one(connection, Claim(origin, split=len(chunk.events)))
        else:
            there = dead_letters.bury(connection, origin, chunk, attempts=attempts, error=error)
            ending = Ending.DEAD
    return _ended(ending, leased, there)


def _bury_whole(leased: Leased, bench: Bench, error: str) -> tuple[Ending, Summary]:
    body, events, attempts = leased.fields["body"], leased.number("events"), leased.number("attempts")
    with transaction(bench.engine) as connection:
        there = dead_letters.bury_whole(
            connection, _origin(leased, None), body, events=events, attempts=attempts, error=error
        )
    return _ended(Ending.DEAD, leased, there)


def _ended(ending: Ending, leased: Leased, there: Found) -> tuple[Ending, Summary]:
    structlog.get_logger().error(f"chunk_{ending}", chunk_id=leased.entry_id, events=leased.number("events"))
    is_split = there is Found.SPLIT or (there is Found.NOTHING and ending is Ending.SPLIT)
    return ending, Summary(split=frozenset({leased.entry_id} if is_split else ()))


def _parts(leased: Leased) -> list[NewChunk]:
    """Return a chunk in parts: the event that it died at, if that is known, and what is around it; or its halves.

    What was refused beside the events goes with the first.
    """
    chunk, whole = decode(leased.fields["body"]), ChunkId.parse(leased.entry_id)
    lane, end = Lane(leased.text("lane")), len(chunk.events)
    reached = leased.number("reached") if "reached" in leased.fields else end
    bounds = sorted({0, reached, reached + 1, end} if reached < end else {0, end // 2, end})
    parts = []
    for start, stop in pairwise(bounds):
        part = Chunk(chunk.events[start:stop], chunk.rejections if start == 0 else [], chunk.upload_id)
        parts.append(NewChunk(str(whole.part(start, stop)), lane, stop - start, encode(part)))
    return parts


def _origin(leased: Leased, chunk: Chunk | None) -> Origin:
    accepted_at = datetime.fromtimestamp(leased.number("at") / 1e6, UTC)
    upload_id = leased.text("upload") or (chunk.upload_id if chunk else None) or None
    return Origin(ChunkId.parse(leased.entry_id), leased.text("lane"), accepted_at, leased.text("acceptor"), upload_id)
