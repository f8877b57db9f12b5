"""Incidents: what is wrong with the pipe itself. Each is told to operators once when it begins, and once when it ends.

They travel the way of alerts: an outbox row for the beginning, and later one for the end, written in the transaction
that notes it. Nothing of it is lost by a restart, and no second look tells it again.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, RowMapping, case, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from detection import Severity
from pipeline.ids import new_uuid
from pipeline.storage._models import outbox
from pipeline.storage._operation import incidents as table

_CONFIRMED_AFTER = timedelta(seconds=8)
_OVER_AFTER = timedelta(seconds=12)
_BEFORE_ALL_OTHERS = -1


class IncidentKind(StrEnum):
    """What can be wrong with the pipe; ``docs/operations.md`` says what to do about each."""

    DEFICIT = "deficit"
    SURPLUS = "surplus"
    STUCK = "stuck"
    BLIND = "blind"
    SILENT = "silent"

    @property
    def cure(self) -> str:
        """What to do about it, in short."""
        return _CURES[self]


_CURES = {
    IncidentKind.DEFICIT: "Look at what happened to Redis at that time (its log, its disk, a restore, a FLUSHALL). "
    "What is missing is not in the pipe any more: have the clients of that time send again, and write it off.",
    IncidentKind.SURPLUS: "Somebody or something wrote verdicts past the pipe. Find out who may write to PostgreSQL, "
    "and look at the rows before you delete them.",
    IncidentKind.STUCK: "`sentinel up` restarts the worker by itself. Under another supervisor restart it; the "
    "journal keeps what waits.",
    IncidentKind.BLIND: "Attacks may pass unseen. Look at the workers and the rules in force on /pipeline, and at the "
    "workers' logs.",
    IncidentKind.SILENT: "Restart the worker `maintenance` and the beat. Until then nothing watches the ledger, and "
    "lost doorbells are not rung again.",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """Something wrong as one look finds it. What has the same kind and subject is the same incident."""

    kind: IncidentKind
    subject: str
    title: str
    detail: str
    events: int = 0
    severity: Severity = Severity.HIGH


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident that was told. ``detail`` is what operators were told, ``latest`` what the last look found."""

    incident_id: UUID
    kind: IncidentKind
    subject: str
    severity: Severity
    title: str
    detail: str
    latest: str
    events: int
    opened_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Notice:
    """One of an incident's two announcements: that it began, or, with ``is_over``, that it ended."""

    notice_id: UUID
    is_over: bool
    told_at: datetime
    incident: Incident


def observe(connection: Connection, kinds: Collection[IncidentKind], found: Iterable[Condition]) -> int:
    """Note what a look at these kinds found, and lay out what has to be told of it.

    A condition is told when every look of some seconds saw it, and over when none of some seconds did: a look that
    falls into the middle of a change tells nobody anything.

    Args:
        connection: a transaction that holds this look and no other.
        kinds: what was looked for; incidents of other kinds are left alone.
        found: what was found.

    Returns:
        How many announcements were laid out.
    """
    for condition in found:
        _see(connection, condition)
    now = func.clock_timestamp()
    mine = table.c.kind.in_([kind.value for kind in kinds]) & table.c.ended_at.is_(None)
    connection.execute(delete(table).where(mine, table.c.told_at.is_(None), table.c.seen_at < func.now()))
    began = connection.execute(
        update(table)
        .where(mine, table.c.told_at.is_(None), table.c.seen_at - table.c.opened_at >= _CONFIRMED_AFTER)
        .values(told_at=now)
        .returning(table.c.incident_id, table.c.opened_at)
    ).all()
    ended = connection.execute(
        update(table)
        .where(mine, table.c.told_at.is_not(None), table.c.seen_at < now - _OVER_AFTER)
        .values(ended_at=now)
        .returning(table.c.over_id, table.c.opened_at)
    ).all()
    rows = [
        {"alert_id": notice, "accepted_at": at, "lane_rank": _BEFORE_ALL_OTHERS, "severity": int(Severity.CRITICAL)}
        for notice, at in [*began, *ended]
    ]
    if rows:
        connection.execute(insert(outbox).values([row | {"due_at": now} for row in rows]))
    return len(rows)


def listing(connection: Connection, *, limit: int) -> Sequence[Incident]:
    """Return the incidents that were told: those that last first, then the latest."""
    rows = connection.execute(
        select(table)
        .where(table.c.told_at.is_not(None))
        .order_by(table.c.ended_at.is_not(None), table.c.opened_at.desc())
        .limit(limit)
    )
    return [_incident(row) for row in rows.mappings()]


def events_of(connection: Connection, kind: IncidentKind) -> int:
    """Return how many events the incidents of a kind are about that were told and last, as the last look found it."""
    lasts = table.c.told_at.is_not(None) & table.c.ended_at.is_(None)
    return int(
        connection.execute(select(func.sum(table.c.events)).where(table.c.kind == kind.value, lasts)).scalar() or 0
    )


def notices(connection: Connection, notice_ids: Collection[UUID]) -> Sequence[Notice]:
    """Return the announcements of these ids; others are passed over."""
    rows = connection.execute(
        select(table).where(or_(table.c.incident_id.in_(notice_ids), table.c.over_id.in_(notice_ids)))
    )
    found = []
    for row in rows.mappings():
        incident = _incident(row)
        if row["incident_id"] in notice_ids:
            found.append(Notice(row["incident_id"], is_over=False, told_at=row["told_at"], incident=incident))
        if row["over_id"] in notice_ids:
            found.append(Notice(row["over_id"], is_over=True, told_at=row["ended_at"], incident=incident))
    return found


def _see(connection: Connection, condition: Condition) -> None:
    now = func.clock_timestamp()
    row = insert(table).values(
        incident_id=new_uuid(), over_id=new_uuid(), kind=condition.kind.value, subject=condition.subject,
        severity=int(condition.severity), title=condition.title, detail=condition.detail, latest=condition.detail,
        events=condition.events, opened_at=now, seen_at=now,
    )  # fmt: skip

    def unless_told(name: str) -> ColumnElement[str]:
        # A repeat of what was told has to be the same to the byte.
        return case((table.c.told_at.is_not(None), table.c[name]), else_=row.excluded[name])

    connection.execute(
        row.on_conflict_do_update(
            index_elements=[table.c.kind, table.c.subject],
            index_where=table.c.ended_at.is_(None),
            set_={
                "seen_at": now,
                "events": row.excluded.events,
                "latest": row.excluded.latest,
                "title": unless_told("title"),
                "detail": unless_told("detail"),
            },
        )
    )


def _incident(row: RowMapping) -> Incident:
    return Incident(
        incident_id=row["incident_id"], kind=IncidentKind(row["kind"]), subject=row["subject"],
        severity=Severity(row["severity"]), title=row["title"], detail=row["detail"], latest=row["latest"],
        events=row["events"], opened_at=row["opened_at"], ended_at=row["ended_at"],
    )  # fmt: skip
