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

from sqlalchemy import Connection, RowMapping, select, text

from pipeline.ids import EventId
from pipeline.storage import canaries, incidents
from pipeline.storage._models import notifications

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
    rows = connection.execute(text(_CLAIM), {"limit": limit, "lease": timedelta(seconds=lease_seconds)})
    claimed = rows.mappings().all()
    others = {row["claimed_id"]: row for row in claimed if row["chunk"] is None}
    found = _notices(connection, others)
    if others:
        canaries.alerted(connection, others.keys())
    delivered(connection, others.keys() - {due.alert_id for due in found})
    return [*found, *_with_details(connection, [row for row in claimed if row["chunk"] is not None])]


_CLAIM = """
WITH due AS (
    SELECT alert_id FROM outbox WHERE due_at <= now() ORDER BY lane_rank, severity DESC, due_at
    LIMIT :limit FOR UPDATE SKIP LOCKED
), leased AS (
    UPDATE outbox SET due_at = now() + :lease, attempts = attempts + 1 FROM due WHERE outbox.alert_id = due.alert_id
    RETURNING outbox.alert_id, outbox.accepted_at, outbox.lane_rank, outbox.severity, outbox.attempts
)
SELECT leased.alert_id AS claimed_id, leased.attempts AS claim, alerts.*
FROM leased LEFT JOIN alerts ON alerts.alert_id = leased.alert_id AND alerts.accepted_at = leased.accepted_at
ORDER BY leased.lane_rank, leased.severity DESC, alerts.created_at
"""


def note(connection: Connection, notes: Sequence[Note]) -> None:
    """Write the notification log. A final state stays, whatever a worker that comes late has to say; ``sent`` wins."""
    if not notes:
        return
    # Rows are locked in one order by every worker, so that two late ones cannot block each other in a circle.
    ordered = sorted(notes, key=lambda item: (item.alert_id, item.receiver))
    connection.execute(
        text(_NOTE),
        {
            "alerts": [item.alert_id for item in ordered],
            "receivers": [item.receiver for item in ordered],
            "states": [item.state.value for item in ordered],
            "attempts": [int(item.attempted) for item in ordered],
            "reasons": [_storable(item.reason) for item in ordered],
        },
    )


_NOTE = """
INSERT INTO notifications AS known (alert_id, receiver, state, attempts, reason, at)
SELECT *, clock_timestamp() FROM unnest(
    CAST(:alerts AS uuid[]), CAST(:receivers AS text[]), CAST(:states AS text[]), CAST(:attempts AS int[]),
    CAST(:reasons AS text[])
)
ON CONFLICT (alert_id, receiver) DO UPDATE SET
    state = excluded.state, attempts = known.attempts + excluded.attempts, reason = excluded.reason, at = excluded.at
WHERE known.state = 'waiting' OR excluded.state = 'sent'
"""


def delivered(connection: Connection, alert_ids: Iterable[UUID]) -> None:
    """Take alerts out of the outbox: every receiver has reached its final state, or nothing is left to tell."""
    if finished := sorted(alert_ids):
        connection.execute(text("DELETE FROM outbox WHERE alert_id = ANY(:alerts)"), {"alerts": finished})


def postpone(connection: Connection, postponements: Sequence[Postponement]) -> None:
    """Give claims back, due again later. A claim that another worker has taken over since is left alone."""
    if postponements:
        columns = {
            "alerts": [item.alert_id for item in postponements],
            "claims": [item.claim for item in postponements],
            "waits": [timedelta(seconds=item.seconds) for item in postponements],
        }
        connection.execute(text(_POSTPONE), columns)


_POSTPONE = """
UPDATE outbox SET due_at = clock_timestamp() + wait
FROM unnest(CAST(:alerts AS uuid[]), CAST(:claims AS int[]), CAST(:waits AS interval[])) AS back (alert_id, claim, wait)
WHERE outbox.alert_id = back.alert_id AND outbox.attempts = back.claim
"""


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
    # Of an alert that was never claimed before, nobody can have been told.
    if again := [row["claimed_id"] for row in rows if row["claim"] > 1]:
        for row in connection.execute(select(notifications).where(notifications.c.alert_id.in_(again))):
            told[row.alert_id][row.receiver] = Told(NotificationState(row.state), row.attempts)
    return told


def _findings(
    connection: Connection, rows: Sequence[RowMapping]
) -> tuple[Mapping[tuple[UUID, int], list[AlertFinding]], dict[tuple[UUID, int], int]]:
    found: dict[tuple[UUID, int], list[AlertFinding]] = defaultdict(list)
    totals: dict[tuple[UUID, int], int] = {}
    columns = {name: [row[name] for row in rows] for name in ("chunk", "position", "accepted_at")}
    for chunk, position, total, *told in connection.execute(text(_FINDINGS), columns | {"most": _FINDINGS_TOLD}):
        totals[chunk, position] = total
        found[chunk, position].append(AlertFinding(*told))
    return found, totals


_FINDINGS = f"""
SELECT event.chunk, event.position, worst.*
FROM unnest(CAST(:chunk AS uuid[]), CAST(:position AS int[]), CAST(:accepted_at AS timestamptz[]))
    AS event (chunk, position, accepted_at)
CROSS JOIN LATERAL (
    SELECT count(*) OVER (), {", ".join(f'"{name}"' for name in AlertFinding.__slots__)} FROM findings
    WHERE findings.chunk = event.chunk AND findings.position = event.position
        AND findings.accepted_at = event.accepted_at
    ORDER BY severity DESC, rule_id, start LIMIT :most
) AS worst
"""
