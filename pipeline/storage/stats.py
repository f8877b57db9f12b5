"""Counts over time, read from the tallies and the chunks. Nothing here writes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from pipeline.storage._models import chunks, tallies

CLEAN = "clean"
_LONGEST_VALUE = 600
DIMENSIONS = ("rule", "tool", "user", "agent")


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many events of one stretch of time were judged, by severity; ``clean`` is one of the names."""

    start: datetime
    events: Mapping[str, int]

    @property
    def judged(self) -> int:
        """All events judged."""
        return sum(self.events.values())

    @property
    def flagged(self) -> int:
        """Those of them that were flagged."""
        return self.judged - self.events.get(CLEAN, 0)


@dataclass(frozen=True, slots=True)
class Count:
    """How many events had one value, and how many of those were flagged."""

    value: str
    events: int
    flagged: int


def series(connection: Connection, start: datetime, end: datetime, width: timedelta) -> Sequence[Bucket]:
    """Count judged events by severity in buckets of ``width`` from ``start`` on; empty buckets are there too."""
    bucket = func.date_bin(width, tallies.c.bucket, start)
    rows = connection.execute(
        select(bucket, tallies.c.value, func.sum(tallies.c.events))
        .where(tallies.c.dimension == "severity", tallies.c.bucket >= start, tallies.c.bucket < end)
        .group_by(bucket, tallies.c.value)
    )
    found: defaultdict[datetime, dict[str, int]] = defaultdict(dict)
    for begins, severity, events in rows:
        found[begins][severity] = int(events)
    starts = [start + width * index for index in range(-(-(end - start) // width))]
    return [Bucket(begins, found.get(begins, {})) for begins in starts]


def top(connection: Connection, dimension: str, start: datetime, end: datetime, *, limit: int) -> Sequence[Count]:
    """Return the values of a dimension that were flagged most, then seen most."""
    value = func.left(tallies.c.value, _LONGEST_VALUE)
    events, flagged = func.sum(tallies.c.events), func.sum(tallies.c.flagged)
    rows = connection.execute(
        select(value, events, flagged)
        .where(tallies.c.dimension == dimension, tallies.c.bucket >= start, tallies.c.bucket < end)
        .group_by(value)
        .order_by(flagged.desc(), events.desc(), value)
        .limit(limit)
    )
    return [Count(name, int(seen), int(marked)) for name, seen, marked in rows]


def settled(connection: Connection, start: datetime, end: datetime) -> int:
    """Count the events accepted in a time that are not in flight any more."""
    total = select(func.coalesce(func.sum(chunks.c.events), 0)).where(
        chunks.c.state == "settled", chunks.c.accepted_at >= start, chunks.c.accepted_at < end
    )
    return int(connection.execute(total).scalar_one())


def fired(connection: Connection, *, since: datetime) -> Mapping[str, int]:
    """Count by rule id on how many events each rule fired since a time."""
    rows = connection.execute(
        select(tallies.c.value, func.sum(tallies.c.events))
        .where(tallies.c.dimension == "rule", tallies.c.bucket >= since)
        .group_by(tallies.c.value)
    )
    return {rule_id: int(events) for rule_id, events in rows}
