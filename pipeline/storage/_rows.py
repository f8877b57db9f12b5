"""The rows that judged chunks leave in the tables, in the order of the columns named beside them."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from detection import Event, Finding, Severity, Verdict
from pipeline.chunk import AcceptedEvent, Chunk
from pipeline.ids import ChunkId, EventId, alert_id
from pipeline.storage._copy import Value
from pipeline.times import occurred_at

_TEXTS = ("user", "agent", "tool", "prompt", "response", "session_id", "trace_id", "client_id")
EVENT = (
    "accepted_at", "chunk", "position", "received_at", "judged_at", "lane", "upload_id", "occurred_at", "timestamp",
    *_TEXTS, "metadata", "nuls", "severity", "rule_set",
)  # fmt: skip
FINDING = (
    "accepted_at", "chunk", "position", "rule_id", "title", "severity", "confidence", "field", "start", "end",
    "excerpt", "view", "reason", "tags",
)  # fmt: skip
ALERT = (
    "accepted_at", "alert_id", "chunk", "position", "created_at", "lane", "severity", "title", "rule_ids", "user",
    "agent", "tool", "sendable",
)  # fmt: skip
OUTBOX = ("alert_id", "accepted_at", "lane_rank", "severity", "due_at")
TALLY = ("bucket", "dimension", "value", "events", "flagged")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a chunk comes from: its id and lane, its accept stamp, and the acceptor that answers for it."""

    chunk_id: ChunkId
    lane: str
    accepted_at: datetime
    acceptor: str
    upload_id: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A chunk, where it comes from, and one verdict for each of its events, in order.

    ``repeated`` are the places of events that were judged before under the same client id: nothing is written of these.
    """

    origin: Origin
    chunk: Chunk
    verdicts: Sequence[Verdict]
    repeated: Collection[int] = ()

    def events(self) -> Iterator[tuple[int, AcceptedEvent, Verdict]]:
        """Yield the events to be written down, with their places in the chunk."""
        for index, (item, verdict) in enumerate(zip(self.chunk.events, self.verdicts, strict=True)):
            if index not in self.repeated:
                yield index, item, verdict

    def flagged(self) -> Iterator[tuple[EventId, AcceptedEvent, Verdict]]:
        """Yield those that have findings."""
        for index, item, verdict in self.events():
            if verdict.findings:
                yield self.origin.chunk_id.event(index), item, verdict


def events(judged: Judged) -> Iterator[list[Value]]:
    """Yield one row for each event."""
    origin, now = judged.origin, datetime.now(UTC)
    for index, item, verdict in judged.events():
        event = item.event
        yield [
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


def findings(judged: Judged) -> Iterator[list[Value]]:
    """Yield one row for each finding."""
    for event_id, _, verdict in judged.flagged():
        for finding in verdict.findings:
            yield [
                judged.origin.accepted_at, event_id.chunk, event_id.position, finding.rule_id, finding.title,
                int(finding.severity), finding.confidence, finding.field, finding.start, finding.end, finding.excerpt,
                finding.view, finding.reason, json.dumps(dict(finding.tags)),
            ]  # fmt: skip


def alerts(judged: Judged, send_from: Severity) -> Iterator[list[Value]]:
    """Yield one row for each flagged event."""
    now = datetime.now(UTC)
    for event_id, item, verdict in judged.flagged():
        yield [
            judged.origin.accepted_at, alert_id(event_id), event_id.chunk, event_id.position, now, judged.origin.lane,
            int(_severity(verdict)), _title(verdict.findings), [finding.rule_id for finding in _once(verdict)],
            item.event.user, item.event.agent, item.event.tool, _severity(verdict) >= send_from,
        ]  # fmt: skip


def outbox(judged: Judged, send_from: Severity) -> Iterator[list[Value]]:
    """Yield one row for each alert that is to be sent."""
    origin, now = judged.origin, datetime.now(UTC)
    rank = 0 if origin.lane == "realtime" else 1
    for event_id, _, verdict in judged.flagged():
        if _severity(verdict) >= send_from:
            yield [alert_id(event_id), origin.accepted_at, rank, int(_severity(verdict)), now]


def tallies(several: Sequence[Judged]) -> Iterator[list[Value]]:
    """Yield one row for each minute, dimension and value among all the chunks."""
    total: Counter[tuple[datetime, str, str]] = Counter()
    flagged: Counter[tuple[datetime, str, str]] = Counter()
    for judged in several:
        bucket = judged.origin.accepted_at.replace(second=0, microsecond=0)
        for _, item, verdict in judged.events():
            grade = "clean" if verdict.severity is None else verdict.severity.label
            event = item.event
            keys = [
                (bucket, "severity", grade), (bucket, "tool", event.tool), (bucket, "user", event.user),
                (bucket, "agent", event.agent), *((bucket, "rule", finding.rule_id) for finding in _once(verdict)),
            ]  # fmt: skip
            total.update(keys)
            if verdict.findings:
                flagged.update(keys)
    for key, count in total.items():
        yield [*key, count, flagged[key]]


def _once(verdict: Verdict) -> list[Finding]:
    return list({finding.rule_id: finding for finding in verdict.findings}.values())


def _severity(verdict: Verdict) -> Severity:
    return max(finding.severity for finding in verdict.findings)


def _title(findings: Sequence[Finding]) -> str:
    # The gravest finding, and how many others.
    gravest = max(findings, key=lambda finding: finding.severity)
    others = len({finding.rule_id for finding in findings}) - 1
    return gravest.title if others == 0 else f"{gravest.title} (and {others} more)"


def _when(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1e6, UTC)
