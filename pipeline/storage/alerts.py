"""What must still be told: due alerts are claimed for a while, told outside any transaction, and then settled here.

The database's clock decides what is due, so that a worker whose clock jumps neither hurries nor delays anything. A
claim counts itself in ``outbox.attempts``; that number says later whether the row is still this claim's to postpone.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Connection, RowMapping, case, delete, func, literal, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from pipeline.ids import EventId
from pipeline.storage import canaries, incidents
from pipeline.storage._models import alerts, findings, notifications, outbox

_FINDINGS_TOLD = 20
_REASON_LENGTH = 500


class NotificationState(StrEnum):
    """What became of one alert at one receiver. ``sent`` and ``rejected`` are final."""

    SENT = "sent"
    WAITING = "waiting"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class AlertFinding:
    """What an alert says of one finding."""

    rule_id: str
    title: str
    severity: int
    confidence: str
    field: str
    start: int | None
    end: int | None
    excerpt: str
    reason: str


@dataclass(frozen=True, slots=True)
class Told:
    """How far one receiver has got with one alert."""

    state: NotificationState
    attempts: int


@dataclass(frozen=True, slots=True)
class DueAlert:
    """A claimed alert: ours to tell until the lease ends."""

    alert_id: UUID
    event_id: EventId
    created_at: datetime
    lane: str
    severity: int
    title: str
    rule_ids: tuple[str, ...]
    user: str
    agent: str
    tool: str
    claim: int
    findings: tuple[AlertFinding, ...]
    findings_total: int
    told: Mapping[str, Told]


@dataclass(frozen=True, slots=True)
class DueNotice:
    """A claimed announcement of an incident: ours to tell until the lease ends. Its alert id is the notice's."""

    alert_id: UUID
    notice: incidents.Notice
    claim: int
    told: Mapping[str, Told]


Due = DueAlert | DueNotice


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the notification log. ``attempted`` is false where the receiver was not even asked."""

    alert_id: UUID
    receiver: str
    state: NotificationState
    reason: str
    attempted: bool = True


@dataclass(frozen=True, slots=True)
class Postponement:
    """A claim given back: due again after so many seconds."""

    alert_id: UUID
    claim: int
    seconds: float


def claim(connection: Connection, *, limit: int, lease_seconds: float) -> list[Due]:
    """Take up to ``limit`` due rows and hide them for the lease: incidents, then live before bulk, severe before mild.

    A canary's row has come where it should, and nobody is told. A row whose alert has been dropped by retention is
    removed: there is nothing left to tell.
    """
    due = (
        select(outbox.c.alert_id)
        .where(outbox.c.due_at <= func.now())
        .order_by(outbox.c.lane_rank, outbox.c.severity.desc(), outbox.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    leased = (
        update(outbox)
        .where(outbox.c.alert_id == due.c.alert_id)
        .values(due_at=func.now() + timedelta(seconds=lease_seconds), attempts=outbox.c.attempts + 1)
        .returning(outbox)
        .cte("leased")
    )
    rows = connection.execute(
        select(leased.c.alert_id.label("claimed_id"), leased.c.attempts.label("claim"), alerts)
        .outerjoin_from(
            leased, alerts, (alerts.c.alert_id == leased.c.alert_id) & (alerts.c.accepted_at == leased.c.accepted_at)
        )
        .order_by(leased.c.lane_rank, leased.c.severity.desc(), alerts.c.created_at)
    )
    claimed = rows.mappings().all()
    others = {row["claimed_id"]: row for row in claimed if row["chunk"] is None}
    found = _notices(connection, others)
    if others:
        canaries.alerted(connection, others.keys())
    delivered(connection, others.keys() - {due.alert_id for due in found})
    return [*found, *_with_details(connection, [row for row in claimed if row["chunk"] is not None])]


def note(connection: Connection, notes: Sequence[Note]) -> None:
    """Write the notification log. A final state stays, whatever a worker that comes late has to say; ``sent`` wins."""
    if not notes:
        return
    # Rows are locked in one order by every worker, so that two late ones cannot block each other in a circle.
    ordered = sorted(notes, key=lambda item: (item.alert_id, item.receiver))
    rows = insert(notifications).values(
        [
            {
                "alert_id": item.alert_id,
                "receiver": item.receiver,
                "state": item.state.value,
                "attempts": int(item.attempted),
                "reason": _storable(item.reason),
                "at": func.clock_timestamp(),
            }
            for item in ordered
        ]
    )
    connection.execute(
        rows.on_conflict_do_update(
            index_elements=[notifications.c.alert_id, notifications.c.receiver],
            set_={
                "state": rows.excluded.state,
                "attempts": notifications.c.attempts + rows.excluded.attempts,
                "reason": rows.excluded.reason,
                "at": rows.excluded.at,
            },
            where=(notifications.c.state == NotificationState.WAITING.value)
            | (rows.excluded.state == NotificationState.SENT.value),
        )
    )


def delivered(connection: Connection, alert_ids: Iterable[UUID]) -> None:
    """Take alerts out of the outbox: every receiver has reached its final state, or nothing is left to tell."""
    finished = sorted(alert_ids)
    if finished:
        connection.execute(delete(outbox).where(outbox.c.alert_id.in_(finished)))


def postpone(connection: Connection, postponements: Sequence[Postponement]) -> None:
    """Give claims back, due again later. A claim that another worker has taken over since is left alone."""
    if not postponements:
        return
    wait = case(
        *((outbox.c.alert_id == item.alert_id, literal(timedelta(seconds=item.seconds))) for item in postponements)
    )
    connection.execute(
        update(outbox)
        .where(
            tuple_(outbox.c.alert_id, outbox.c.attempts).in_([(item.alert_id, item.claim) for item in postponements])
        )
        .values(due_at=func.clock_timestamp() + wait)
    )


def _storable(reason: str) -> str:
    # A reason that PostgreSQL refuses would keep its alert from ever being settled.
    return reason[:_REASON_LENGTH].encode("utf-8", "replace").decode("utf-8").replace("\0", " ")


def _notices(connection: Connection, rows: Mapping[UUID, RowMapping]) -> list[DueNotice]:
    if not rows:
        return []
    told = _told(connection, list(rows.values()))
    return [
        DueNotice(notice.notice_id, notice, rows[notice.notice_id]["claim"], told[notice.notice_id])
        for notice in incidents.notices(connection, rows.keys())
    ]


def _with_details(connection: Connection, rows: Sequence[RowMapping]) -> list[DueAlert]:
    if not rows:
        return []
    told = _told(connection, rows)
    found, totals = _findings(connection, rows)
    return [
        DueAlert(
            alert_id=row["claimed_id"],
            event_id=EventId(row["chunk"], row["position"]),
            created_at=row["created_at"],
            lane=row["lane"],
            severity=row["severity"],
            title=row["title"],
            rule_ids=tuple(row["rule_ids"]),
            user=row["user"],
            agent=row["agent"],
            tool=row["tool"],
            claim=row["claim"],
            findings=tuple(found[row["chunk"], row["position"]]),
            findings_total=totals.get((row["chunk"], row["position"]), 0),
            told=told[row["claimed_id"]],
        )
        for row in rows
    ]


def _told(connection: Connection, rows: Sequence[RowMapping]) -> Mapping[UUID, dict[str, Told]]:
    told: dict[UUID, dict[str, Told]] = defaultdict(dict)
    for row in connection.execute(
        select(notifications).where(notifications.c.alert_id.in_([row["claimed_id"] for row in rows]))
    ):
        told[row.alert_id][row.receiver] = Told(NotificationState(row.state), row.attempts)
    return told


def _findings(
    connection: Connection, rows: Sequence[RowMapping]
) -> tuple[Mapping[tuple[UUID, int], list[AlertFinding]], dict[tuple[UUID, int], int]]:
    event = (findings.c.chunk, findings.c.position)
    ranked = (
        select(
            findings,
            func.count().over(partition_by=event).label("total"),
            func.row_number()
            .over(partition_by=event, order_by=(findings.c.severity.desc(), findings.c.rule_id, findings.c.start))
            .label("rank"),
        )
        .where(
            tuple_(*event).in_([(row["chunk"], row["position"]) for row in rows]),
            findings.c.accepted_at.in_({row["accepted_at"] for row in rows}),  # lets PostgreSQL skip the other days
        )
        .subquery()
    )
    found: dict[tuple[UUID, int], list[AlertFinding]] = defaultdict(list)
    totals: dict[tuple[UUID, int], int] = {}
    told = select(ranked).where(ranked.c.rank <= _FINDINGS_TOLD).order_by(text("rank"))
    for row in connection.execute(told).mappings():
        event_key = (row["chunk"], row["position"])
        totals[event_key] = row["total"]
        found[event_key].append(AlertFinding(**{name: row[name] for name in AlertFinding.__slots__}))
    return found, totals
