"""Splits an uploaded file into chunks, a slice at a time: uploads take turns, and nothing waits inside a task."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, Literal
from uuid import UUID

import structlog
from sqlalchemy import Engine

from pipeline.chunk import MOST_BYTES, MOST_EVENTS, AcceptedEvent, Chunk, RejectedRecord, encode
from pipeline.errors import JournalFull, JournalUnavailable, LockedByAnother, QueueUnavailable, StorageUnavailable
from pipeline.ids import upload_chunk
from pipeline.journal import UPLOAD, Journal, Lane, Leased, NewChunk, Slice
from pipeline.records import NotJson, RecordLimits, RejectedRecordError, mend_surrogates, to_event
from pipeline.storage import ledger, locks, rejections, transaction, uploads
from workers.scanning import Fault, FoundRecord, Records

_COPY_PIECE = 1 << 20
_SLICE_SECONDS = 2.0
_MOST_TURNS = 32  # so many uploads at once have chunks in Redis; those beyond wait on disk


@dataclass(frozen=True, slots=True)
class SplitBench:
    """What splitting works with. Sizes are events and bytes; ``ring`` rings the bulk queue.

    What the tokens of this process' leases begin with is ``holder``.
    """

    journal: Journal
    engine: Engine
    spool: Path
    limits: RecordLimits
    bulk_bytes: int
    splitter: str
    ring: Callable[[Sequence[str], int], None]
    acknowledged: dict[int, int]  # per second of the accept stamp; kept until the witness has it
    holder: str = ""
    chunk_events: int = MOST_EVENTS
    chunk_bytes: int = MOST_BYTES
    slice_seconds: float = _SLICE_SECONDS


@dataclass(slots=True)
class _Part:
    """What stands between a checkpoint and the end of one chunk."""

    start: int
    end: int
    records: int = 0
    size: int = 0
    events: list[AcceptedEvent] = field(default_factory=list)
    refused: list[RejectedRecord] = field(default_factory=list)
    finished: Literal["", "end", "fault"] = ""
    error: str = ""


def run(entry_id: str, bench: SplitBench) -> None:
    """Work on an upload for one slice, and ring for the next one; a turn without room is left to the sweep.

    Raises:
        JournalUnavailable: Redis is away; the lease runs out by itself.
    """
    leased = bench.journal.lease(entry_id, bench.holder + token_hex(8))
    if leased is None:
        return
    try:
        finished = _slice(leased, bench)
    except _Blocked:
        bench.journal.postpone(leased)  # until the sweep rings: with nobody to judge, the bell would come back at once
        return
    except (StorageUnavailable, JournalFull, JournalUnavailable) as error:
        structlog.get_logger().warning("split_postponed", upload=entry_id, error=str(error))
        if isinstance(error, LockedByAnother):
            locks.make_way(bench.engine, [entry_id])
        bench.journal.postpone(leased)
        return
    except Exception as error:  # noqa: BLE001 - whatever a file makes happen is that file's failed attempt
        structlog.get_logger().error("split_failed", upload=entry_id, error=type(error).__name__)
        bench.journal.fail(leased, f"{type(error).__name__}: {error}")
        return
    if not finished and (stamp := bench.journal.pass_on(leased)):
        _ring(bench, [entry_id], stamp)


def _slice(leased: Leased, bench: SplitBench) -> bool:
    """Journal chunks until the turn is over or the file ends. Returns whether the upload is closed."""
    if not leased.text("finished"):
        if leased.exhausted:
            _give_up(leased, bench)
        elif not _journal_parts(leased, bench):
            return False
    _close(leased, bench)
    return True


def _journal_parts(leased: Leased, bench: SplitBench) -> bool:
    turn = _Turn(bench)
    if turn.is_blocked:
        raise _Blocked
    upload_id, received_at = leased.entry_id.removeprefix(UPLOAD), leased.number("received_at")
    index, checkpoint = leased.number("index"), leased.number("checkpoint")
    with (bench.spool / leased.text("path")).open("rb") as file:
        for part in _parts(file, checkpoint, index, upload_id, received_at, bench):
            if not _journal_part(leased, part, upload_id, bench):
                return False
            if part.finished:
                return True
            turn.size += part.size
            if turn.is_over:
                return False
    return False


class _Blocked(Exception):
    """The turn came while too much of what was uploaded waits."""


class _Turn:
    """One upload's turn: an even share of what may wait, so that the doorbells behind it are never far away.

    What waits may exceed its bound by a chunk for each other upload. Without that an upload whose turn comes while the
    others' shares are there would be sent to the end of the queue again and again: they refill before it is back.
    """

    def __init__(self, bench: SplitBench) -> None:
        self._journal = bench.journal
        uploads = max(1, min(len(bench.journal.open_uploads()), _MOST_TURNS))
        self._share, self._most = bench.bulk_bytes / uploads, bench.bulk_bytes + (uploads - 1) * bench.chunk_bytes
        self._until = time.monotonic() + bench.slice_seconds
        self.size = 0

    @property
    def is_blocked(self) -> bool:
        """Whether too much of what was uploaded waits in Redis."""
        return self._journal.uploaded_bytes() >= self._most

    @property
    def is_over(self) -> bool:
        """Whether the share is journaled, the time up, or too much waits."""
        return self.size >= self._share or time.monotonic() > self._until or self.is_blocked


def _journal_part(leased: Leased, part: _Part, upload_id: str, bench: SplitBench) -> bool:
    # Refused records first: writing them twice changes nothing, and once the checkpoint has moved nobody looks again.
    if part.refused:
        with transaction(bench.engine) as connection:
            locks.hold(connection, leased.entry_id)
            rejections.keep(connection, part.refused)
    chunk = None
    if part.events:
        chunk_id = upload_chunk(UUID(upload_id), part.start).hex
        body = encode(Chunk(part.events, upload_id=upload_id))
        chunk = NewChunk(chunk_id, Lane.BULK, len(part.events), body, upload_id)
    step = Slice(part.start, part.end, part.records, len(part.refused), part.finished, part.error, chunk)
    stamp = bench.journal.advance_upload(leased, step, bench.splitter)
    if stamp == 0:
        return False
    if chunk is not None:
        _ring(bench, [chunk.chunk_id], stamp)
        _witness(bench, stamp, len(part.events))
    return True


def _parts(
    file: BinaryIO, checkpoint: int, index: int, upload_id: str, received_at: int, bench: SplitBench
) -> Iterator[_Part]:
    records = Records(file, checkpoint=checkpoint, most=bench.limits.max_bytes)
    found = iter(records)
    part = _Part(checkpoint, checkpoint)
    while True:
        try:
            record = next(found, None)
            if record is None:
                part.finished = "end"
                break
            _judge(record, part, index, upload_id, received_at, bench)
        except Fault as fault:
            part.finished, part.error = "fault", f"{fault.detail} (byte {fault.offset})"
            break
        index += 1
        if part.records >= bench.chunk_events or part.size >= bench.chunk_bytes:
            yield part
            part = _Part(part.end, part.end)
    part.end = max(part.end, records.offset) if part.finished == "end" else part.end
    yield part


def _judge(record: FoundRecord, part: _Part, index: int, upload_id: str, received_at: int, bench: SplitBench) -> None:
    try:
        if record.raw is None:
            length = record.end - record.start
            detail = f"the record has {length:,} bytes, more than the {bench.limits.max_bytes:,} of max_record_bytes"
            raise RejectedRecordError("", "too_large", detail)  # noqa: TRY301 - one way to refuse
        event = to_event(mend_surrogates(record.raw), bench.limits)
    except RejectedRecordError as error:
        spooled = _keep_large(record, upload_id, index, bench) if record.raw is None else None
        part.refused.append(
            RejectedRecord(upload_id, index, error.pointer, error.code, error.detail, record.start, record.raw, spooled)
        )
    except NotJson as error:
        raise Fault(record.start + error.offset, error.detail) from error
    else:
        part.events.append(AcceptedEvent(received_at, event))
    part.records += 1
    part.size += record.end - record.start
    part.end = record.end


def _keep_large(record: FoundRecord, upload_id: str, index: int, bench: SplitBench) -> str:
    """Copy a record that is too large to hold beside the spooled file, piece by piece. Returns the copy's name."""
    name = f"{upload_id}.{index}.rejected"
    with (bench.spool / f"{upload_id}.json").open("rb") as source, (bench.spool / name).open("wb") as target:
        source.seek(record.start)
        left = record.end - record.start
        while left > 0 and (piece := source.read(min(_COPY_PIECE, left))):
            target.write(piece)
            left -= len(piece)
    return name


def _give_up(leased: Leased, bench: SplitBench) -> None:
    checkpoint = leased.number("checkpoint")
    why = leased.text("error") or "the splitter died each time, without a word"
    error = f"splitting failed {leased.number('attempts')} times at byte {checkpoint}: {why}"
    bench.journal.advance_upload(leased, Slice(checkpoint, checkpoint, 0, 0, "fault", error), bench.splitter)


def _close(leased: Leased, bench: SplitBench) -> None:
    upload_id = leased.entry_id.removeprefix(UPLOAD)
    fields = bench.journal.upload(upload_id)
    if not fields.get("finished"):
        return
    with transaction(bench.engine) as connection:
        locks.hold(connection, leased.entry_id)
        uploads.close(connection, upload_id, fields)
    bench.journal.settle(leased.entry_id)
    (bench.spool / fields["path"]).unlink(missing_ok=True)


def _ring(bench: SplitBench, entries: Sequence[str], stamp: int) -> None:
    try:
        bench.ring(entries, stamp)
    except QueueUnavailable as error:
        structlog.get_logger().warning("doorbell_deferred", entries=len(entries), error=str(error))


def _witness(bench: SplitBench, stamp: int, events: int) -> None:
    """Report what was accepted; what cannot be told now is told with the next."""
    second = stamp // 1_000_000
    bench.acknowledged[second] = bench.acknowledged.get(second, 0) + events
    try:
        with transaction(bench.engine) as connection:
            ledger.witness(connection, bench.splitter, bench.acknowledged)
    except StorageUnavailable as error:
        structlog.get_logger().warning("witness_deferred", events=events, error=str(error))
        return
    for told in [told for told in bench.acknowledged if told < second]:
        del bench.acknowledged[told]
