"""The rows that judged chunks leave in the tables, in the order of the columns named beside them."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any

from detection import Event, Finding, Severity, Verdict
from pipeline.chunk import AcceptedEvent, Chunk
from pipeline.ids import ChunkId, EventId, alert_id
from pipeline.storage._copy import Value, Written, written, written_texts
from pipeline.times import instant

_REQUIRED = ("user", "agent", "tool", "prompt", "response")
_OTHERS = ("session_id", "trace_id", "client_id")
_TEXTS = (*_REQUIRED, *_OTHERS)
EVENT = (
    "accepted_at", "chunk", "position", "received_at", "judged_at", "lane", "upload_id", "occurred_at", "timestamp",
    *_TEXTS, "metadata", "nuls", "severity", "rule_set", "rules",
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


def events(judged: Judged) -> Iterator[Written]:
    """Yield one row for each event, written already: there are so many that the way of each value counts."""
    origin, first = judged.origin, judged.origin.chunk_id.first
    chunk = written(origin.accepted_at, origin.chunk_id.root)
    way = written(datetime.now(UTC), origin.lane, origin.upload_id)
    micros, received = -1, ""
    for index, item, verdict in judged.events():
        event = item.event
        if item.received_at != micros:
            micros = item.received_at
            received = datetime.fromtimestamp(micros / 1e6, UTC).isoformat()
        texts, has_nul = written_texts(_required(event))
        others = _written_others(event, has_nul=has_nul)
        end = _end(verdict)
        yield Written(
            f"{chunk}\t{first + index}\t{received}\t{way}\t{instant(event.timestamp)}\t{texts}\t{others}\t{end}"
        )


_required: Callable[[Event], tuple[str, ...]] = attrgetter("timestamp", *_REQUIRED)
_others: Callable[[Event], tuple[Any, ...]] = attrgetter(*_OTHERS, "metadata")
_NONE = (None,) * (len(_OTHERS) + 1)
_NOTHING = written(*_NONE, None)


def _written_others(event: Event, *, has_nul: bool) -> Written:
    others = _others(event)
    if others == _NONE and not has_nul:
        return _NOTHING
    *texts, metadata = others
    metadata = None if metadata is None else json.dumps(metadata, ensure_ascii=False)
    return written(*texts, metadata, _nuls(event))


def _nuls(event: Event) -> str | None:
    texts = {name: getattr(event, name) or "" for name in _TEXTS}
    found = {name: [i for i, char in enumerate(text) if char == "\0"] for name, text in texts.items() if "\0" in text}
    return json.dumps(found) if found else None


def _end(verdict: Verdict) -> Written:
    if verdict.severity is None:
        return _clean_end(verdict.rule_set)
    return written(int(verdict.severity), verdict.rule_set, sorted({finding.rule_id for finding in verdict.findings}))


@lru_cache(maxsize=8)
def _clean_end(rule_set: str) -> Written:
    return written(None, rule_set, None)


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
            int(_severity(verdict)), _title(verdict.findings), _fired(verdict),
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
    counted: dict[tuple[datetime, str, str], list[int]] = {}
    for judged in several:
        bucket = judged.origin.accepted_at.replace(second=0, microsecond=0)
        alike = Counter(
            (item.event.tool, item.event.user, item.event.agent, verdict.severity, tuple(_fired(verdict)))
            for _, item, verdict in judged.events()
        )
        for (tool, user, agent, severity, fired), events in alike.items():
            grade = "clean" if severity is None else severity.label
            rules = (("rule", rule_id) for rule_id in fired)
            for dimension, value in (("severity", grade), ("tool", tool), ("user", user), ("agent", agent), *rules):
                counts = counted.setdefault((bucket, dimension, value), [0, 0])
                counts[0] += events
                counts[1] += events if fired else 0
    for key, counts in counted.items():
        yield [*key, *counts]


def _fired(verdict: Verdict) -> list[str]:
    if not verdict.findings:
        return []
    return list(dict.fromkeys(finding.rule_id for finding in verdict.findings))


def _severity(verdict: Verdict) -> Severity:
    return max(finding.severity for finding in verdict.findings)


def _title(findings: Sequence[Finding]) -> str:
    # The gravest finding, and how many others.
    gravest = max(findings, key=lambda finding: finding.severity)
    others = len({finding.rule_id for finding in findings}) - 1
    return gravest.title if others == 0 else f"{gravest.title} (and {others} more)"
