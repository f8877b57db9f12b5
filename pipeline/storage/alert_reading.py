"""Reading alerts, and what was told of them. Nothing here writes."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Select, Text, func, literal, select, tuple_

from detection import Severity
from pipeline.ids import EventId
from pipeline.storage._models import alerts, notifications, outbox
from pipeline.storage.selecting import stored

_EXCERPT = 600


@dataclass(frozen=True, slots=True)
class Notification:
    """One entry of the notification log: what one receiver was told, and why or why not."""

    receiver: str
    state: str  # sent | waiting | rejected
    attempts: int
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert with its notification log."""

    alert_id: UUID
    event_id: EventId
    created_at: datetime
    queue: str
    severity: Severity
    title: str
    rule_ids: Sequence[str]
    user: str
    agent: str
    tool: str
    sendable: bool
    due_at: datetime | None  # none: nothing is left to be sent
    notifications: Sequence[Notification]

    @property
    def state(self) -> str:
        """What became of it: ``recorded``, ``waiting``, ``rejected`` or ``sent``."""
        states = {entry.state for entry in self.notifications}
        if not self.sendable:
            return "recorded"
        if self.due_at is not None or "waiting" in states:
            return "waiting"
        return "rejected" if "rejected" in states else "sent" if states else "recorded"


@dataclass(frozen=True, slots=True)
class AlertTerms:
    """What the alerts of a list must be; None stands for anything."""

    min_severity: int | None = None
    user: str | None = None
    agent: str | None = None
    tool: str | None = None
    rule: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def alert_page(
    connection: Connection, terms: AlertTerms, *, limit: int, after: tuple[datetime, UUID] | None = None
) -> tuple[Sequence[StoredAlert], tuple[datetime, UUID] | None]:
    """Read a page of alerts, newest first, and the place after which the next one begins."""
    query = _select().order_by(alerts.c.created_at.desc(), alerts.c.alert_id.desc()).limit(limit + 1)
    for name in ("user", "agent", "tool"):
        if (value := getattr(terms, name)) is not None:
            query = query.where(alerts.c[name] == stored(value))
    if terms.min_severity is not None:
        query = query.where(alerts.c.severity >= terms.min_severity)
    if terms.rule is not None:
        query = query.where(alerts.c.rule_ids.contains([stored(terms.rule)]))
    if terms.since is not None:
        query = query.where(alerts.c.created_at >= terms.since)
    if terms.until is not None:
        query = query.where(alerts.c.created_at < terms.until)
    if after is not None:
        place = tuple_(literal(after[0], alerts.c.created_at.type), literal(after[1], alerts.c.alert_id.type))
        query = query.where(tuple_(alerts.c.created_at, alerts.c.alert_id) < place)
    rows = connection.execute(query).all()
    items = _with_logs(connection, rows[:limit])
    more = len(rows) > limit
    return items, (items[-1].created_at, items[-1].alert_id) if more else None


def alert(connection: Connection, alert_id: UUID) -> StoredAlert | None:
    """Read one alert, or return None where there is none."""
    rows = connection.execute(_select().where(alerts.c.alert_id == alert_id)).all()
    return next(iter(_with_logs(connection, rows)), None)


def alert_of(connection: Connection, event_id: EventId) -> UUID | None:
    """Return the id of the alert about an event, or None where there is none."""
    query = select(alerts.c.alert_id).where(alerts.c.chunk == event_id.chunk, alerts.c.position == event_id.position)
    return connection.execute(query).scalars().first()


def _select() -> Select[Any]:
    # A client may call a tool by a megabyte; the event's own page shows all of it.
    cut = ("user", "agent", "tool")
    begins = [func.left(alerts.c[name], _EXCERPT, type_=Text).label(name) for name in cut]
    return select(*(column for column in alerts.c if column.name not in cut), *begins)


def _with_logs(connection: Connection, rows: Sequence[Row[Any]]) -> list[StoredAlert]:
    ids = [row.alert_id for row in rows]
    logs: defaultdict[UUID, list[Notification]] = defaultdict(list)
    entries = select(notifications).where(notifications.c.alert_id.in_(ids)).order_by(notifications.c.receiver)
    for row in connection.execute(entries):
        logs[row.alert_id].append(Notification(row.receiver, row.state, row.attempts, row.reason, row.at))
    waiting = select(outbox.c.alert_id, outbox.c.due_at).where(outbox.c.alert_id.in_(ids))
    due: dict[UUID, datetime] = {row.alert_id: row.due_at for row in connection.execute(waiting)}
    return [_stored(row, logs[row.alert_id], due.get(row.alert_id)) for row in rows]


def _stored(row: Row[Any], log: Sequence[Notification], due_at: datetime | None) -> StoredAlert:
    return StoredAlert(
        alert_id=row.alert_id,
        event_id=EventId(row.chunk, row.position),
        created_at=row.created_at,
        queue=row.lane,
        severity=Severity(row.severity),
        title=row.title,
        rule_ids=tuple(row.rule_ids),
        user=row.user,
        agent=row.agent,
        tool=row.tool,
        sendable=row.sendable,
        due_at=due_at,
        notifications=tuple(log),
    )
