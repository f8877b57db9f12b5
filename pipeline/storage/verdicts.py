"""Recording what became of a chunk: one transaction, once in effect however often it is delivered."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import Connection, Engine, text

from detection import Event, Finding, Severity, Verdict
from pipeline.chunk import AcceptedEvent, Chunk
from pipeline.ids import ChunkId, alert_id
from pipeline.storage import rejections
from pipeline.storage._copy import Value, copy
from pipeline.storage._engine import transaction
from pipeline.times import occurred_at

_TEXTS = ("user", "agent", "tool", "prompt", "response", "session_id", "trace_id")
_LOCK = "hashtextextended(:chunk, 0)"


class Recorded(StrEnum):
    """What recording did."""

    NEW = "new"
    ALREADY = "already"  # somebody settled the chunk before; only the journal still has it


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a chunk comes from: its id and lane, its accept stamp, and the acceptor that answers for it."""

    chunk_id: ChunkId
    lane: str
    accepted_at: datetime
    acceptor: str
    upload_id: str | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What one transaction wrote: how many events were flagged, and how many alerts wait to be sent."""

    recorded: Recorded
    flagged: int = 0
    to_send: int = 0


def claim(
    connection: Connection, origin: Origin, *, rule_set: str | None, judged: int, flagged: int, dead: int
) -> bool:
    """Insert the chunk's id, which makes everything after it happen once. Returns False if it was there.

    The advisory lock makes a second worker wait here, where it can see who blocks it, and not inside a unique index.
    """
    weight = judged + dead
    if origin.chunk_id.is_rerun:  # its event was counted as dead before; being judged takes that away
        weight, dead = 0, -judged
    found = connection.execute(
        text(
            f"WITH lock AS MATERIALIZED (SELECT pg_advisory_xact_lock({_LOCK})) "
            "INSERT INTO chunks (chunk_id, state, lane, accepted_at, settled_at, events, judged, dead, flagged, "
            "rule_set, acceptor, accepted_second, upload_id) "
            "SELECT :chunk, 'settled', :lane, :accepted_at, clock_timestamp(), :events, :judged, :dead, :flagged, "
            ":rule_set, :acceptor, :second, CAST(:upload AS uuid) FROM lock "
            "ON CONFLICT DO NOTHING RETURNING chunk_id"
        ),
        {
            "chunk": str(origin.chunk_id), "lane": origin.lane, "accepted_at": origin.accepted_at, "events": weight,
            "judged": judged, "dead": dead, "flagged": flagged, "rule_set": rule_set, "acceptor": origin.acceptor,
            "second": int(origin.accepted_at.timestamp()), "upload": origin.upload_id,
        },
    )  # fmt: skip
    return found.scalar() is not None


def record(
    connection: Connection,
    origin: Origin,
    chunk: Chunk,
    verdicts: Sequence[Verdict],
    *,
    rule_set: str,
    send_from: Severity,
) -> Summary:
    """Write a chunk's verdicts: its id, findings, alerts, outbox rows, tallies, refused records, and last its events.

    Args:
        connection: an open transaction.
        origin: where the chunk comes from.
        chunk: the chunk.
        verdicts: one for each of its events, in order.
        rule_set: the digest of the rule set that judged.
        send_from: the least severity whose alerts are sent; milder ones are recorded only.
    """
    judged = list(zip(chunk.events, verdicts, strict=True))
    flagged = [(index, item, verdict) for index, (item, verdict) in enumerate(judged) if verdict.findings]
    if not claim(connection, origin, rule_set=rule_set, judged=len(judged), flagged=len(flagged), dead=0):
        return Summary(Recorded.ALREADY)
    copy(connection, "findings", _FINDING, _finding_rows(origin, flagged))
    copy(connection, "alerts", _ALERT, _alert_rows(origin, flagged, send_from))
    to_send = copy(connection, "outbox", _OUTBOX, _outbox_rows(origin, flagged, send_from))
    copy(connection, "tallies", _TALLY, _tally_rows(origin, judged))
    rejections.keep(connection, chunk.rejections)
    if origin.chunk_id.is_rerun:
        connection.execute(
            text("DELETE FROM dead_letters WHERE event_id = :event"), {"event": str(origin.chunk_id.event(0))}
        )
    now = datetime.now(UTC)
    copy(
        connection,
        "events",
        _EVENT,
        (_event_row(origin, i, item, verdict, now) for i, (item, verdict) in enumerate(judged)),
    )
    return Summary(Recorded.NEW, len(flagged), to_send)


def evict_blocker(engine: Engine, chunk_id: str) -> int:
    """Terminate the backends that hold a chunk's lock: a client frozen inside ``COPY`` outlives every time-out.

    Returns:
        How many were terminated.

    Raises:
        StorageUnavailable: PostgreSQL is away.
    """
    with transaction(engine) as connection:
        found = connection.execute(
            text(
                f"WITH lock AS (SELECT {_LOCK} AS key) "
                "SELECT count(pg_terminate_backend(pid)) FROM pg_locks, lock "
                "WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid() AND objsubid = 1 "
                "AND classid::bigint = (key >> 32) & 4294967295 AND objid::bigint = key & 4294967295"
            ),
            {"chunk": chunk_id},
        )
        return int(found.scalar_one())


_EVENT = (
    "accepted_at", "chunk", "position", "received_at", "judged_at", "lane", "upload_id", "occurred_at", "timestamp",
    *_TEXTS, "metadata", "nuls", "severity", "rule_set",
)  # fmt: skip
_FINDING = (
    "accepted_at", "chunk", "position", "rule_id", "title", "severity", "confidence", "field", "start", "end",
    "excerpt", "view", "reason", "tags",
)  # fmt: skip
_ALERT = (
    "accepted_at", "alert_id", "chunk", "position", "created_at", "lane", "severity", "title", "rule_ids", "user",
    "agent", "tool", "sendable",
)  # fmt: skip
_OUTBOX = ("alert_id", "accepted_at", "lane_rank", "severity", "due_at")
_TALLY = ("bucket", "dimension", "value", "events", "flagged")

_Flagged = Sequence[tuple[int, AcceptedEvent, Verdict]]


def _event_row(origin: Origin, index: int, item: AcceptedEvent, verdict: Verdict, now: datetime) -> list[Value]:
    event = item.event
    return [
        origin.accepted_at, origin.chunk_id.root, origin.chunk_id.first + index, _when(item.received_at), now,
        origin.lane, origin.upload_id, occurred_at(event.timestamp), event.timestamp,
        *(getattr(event, name) for name in _TEXTS),
        None if event.metadata is None else json.dumps(event.metadata, ensure_ascii=False),
        _nuls(event), None if verdict.severity is None else int(verdict.severity), verdict.rule_set,
    ]  # fmt: skip


def _nuls(event: Event) -> str | None:
    found = {name: value for name in _TEXTS if (value := getattr(event, name)) and "\0" in value}
    if not found:
        return None
    return json.dumps({name: [i for i, char in enumerate(value) if char == "\0"] for name, value in found.items()})


def _finding_rows(origin: Origin, flagged: _Flagged) -> Iterator[list[Value]]:
    for index, _, verdict in flagged:
        for finding in verdict.findings:
            yield [
                origin.accepted_at, origin.chunk_id.root, origin.chunk_id.first + index, finding.rule_id, finding.title,
                int(finding.severity), finding.confidence, finding.field, finding.start, finding.end, finding.excerpt,
                finding.view, finding.reason, json.dumps(dict(finding.tags)),
            ]  # fmt: skip


def _alert_rows(origin: Origin, flagged: _Flagged, send_from: Severity) -> Iterator[list[Value]]:
    now = datetime.now(UTC)
    for index, item, verdict in flagged:
        event_id = origin.chunk_id.event(index)
        yield [
            origin.accepted_at, alert_id(event_id), event_id.chunk, event_id.position, now, origin.lane,
            int(_severity(verdict)), alert_title(verdict.findings), [finding.rule_id for finding in _once(verdict)],
            item.event.user, item.event.agent, item.event.tool, _severity(verdict) >= send_from,
        ]  # fmt: skip


def _outbox_rows(origin: Origin, flagged: _Flagged, send_from: Severity) -> Iterator[list[Value]]:
    now = datetime.now(UTC)
    rank = 0 if origin.lane == "realtime" else 1
    for index, _, verdict in flagged:
        if _severity(verdict) >= send_from:
            yield [alert_id(origin.chunk_id.event(index)), origin.accepted_at, rank, int(_severity(verdict)), now]


def _tally_rows(origin: Origin, judged: Sequence[tuple[AcceptedEvent, Verdict]]) -> Iterator[list[Value]]:
    bucket = origin.accepted_at.replace(second=0, microsecond=0)
    total: Counter[tuple[str, str]] = Counter()
    flagged: Counter[tuple[str, str]] = Counter()
    for item, verdict in judged:
        grade = "clean" if verdict.severity is None else verdict.severity.label
        keys = [("severity", grade), ("tool", item.event.tool), ("user", item.event.user), ("agent", item.event.agent)]
        keys += [("rule", finding.rule_id) for finding in _once(verdict)]
        total.update(keys)
        if verdict.findings:
            flagged.update(keys)
    for (dimension, value), count in total.items():
        yield [bucket, dimension, value, count, flagged[dimension, value]]


def _once(verdict: Verdict) -> list[Finding]:
    return list({finding.rule_id: finding for finding in verdict.findings}.values())


def _severity(verdict: Verdict) -> Severity:
    return max(finding.severity for finding in verdict.findings)


def alert_title(findings: Sequence[Finding]) -> str:
    """Return one line that says what an event was flagged for: the gravest finding, and how many others."""
    gravest = max(findings, key=lambda finding: finding.severity)
    others = len({finding.rule_id for finding in findings}) - 1
    return gravest.title if others == 0 else f"{gravest.title} (and {others} more)"


def _when(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1e6, UTC)
