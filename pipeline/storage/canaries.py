"""Canaries: synthetic attacks that show whether the pipe still sees. They leave their times here, and nothing else.

All times are PostgreSQL's, so that the steps of one canary can be told apart whatever the processes' clocks say.
"""

import hmac
import secrets as random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from uuid import UUID

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.postgresql import distinct_on, insert

from detection import Severity
from pipeline.ids import ChunkId, alert_id
from pipeline.storage._models import outbox
from pipeline.storage._operation import canaries as table
from pipeline.storage._operation import secrets

_NAME = "canary"
_KEPT = timedelta(days=1)
_LOOKS_BACK = timedelta(minutes=15)  # longer than the longest time between two
OVERDUE_SECONDS = 30


class CanaryOutcome(StrEnum):
    """What the engine said of a canary."""

    FLAGGED = "flagged"
    CLEAN = "clean"
    FAILED = "failed"  # it exhausted its attempts


@dataclass(frozen=True, slots=True)
class Flight:
    """A canary: when it was sent, and the seconds to each step that it has come to."""

    lane: str
    sent_at: datetime
    outcome: CanaryOutcome | None
    judged_seconds: float | None
    alerted_seconds: float | None

    @property
    def is_seen(self) -> bool:
        """Whether it was found to be an attack, and its alert came to be told."""
        return self.alerted_seconds is not None


def signature(connection: Connection, chunk_id: ChunkId, lane: str) -> str:
    """Return what only this installation can write on the canary of that id and lane."""
    connection.execute(insert(secrets).values(name=_NAME, value=random.token_bytes(32)).on_conflict_do_nothing())
    key = connection.execute(select(secrets.c.value).where(secrets.c.name == _NAME)).scalar_one()
    return hmac.new(bytes(key), f"{chunk_id} {lane}".encode(), sha256).hexdigest()


def sent(connection: Connection, chunk_id: ChunkId, lane: str) -> None:
    """Note that a canary is about to be sent."""
    connection.execute(
        insert(table).values(
            canary_id=chunk_id.root, alert_id=alert_id(chunk_id.event(0)), lane=lane, sent_at=func.clock_timestamp()
        )
    )
    connection.execute(delete(table).where(table.c.sent_at < func.now() - _KEPT))


def forget(connection: Connection, chunk_id: ChunkId) -> None:
    """Forget a canary that was not sent."""
    connection.execute(delete(table).where(table.c.canary_id == chunk_id.root))


def judged(connection: Connection, chunk_id: ChunkId, outcome: CanaryOutcome) -> bool:
    """Note what became of a canary, once; a flagged one leaves its alert in the outbox. Returns whether it did."""
    now = func.clock_timestamp()
    found = connection.execute(
        update(table)
        .where(table.c.canary_id == chunk_id.root, table.c.judged_at.is_(None))
        .values(judged_at=now, outcome=outcome.value)
        .returning(table.c.alert_id, table.c.sent_at)
    ).one_or_none()
    if found is None or outcome is not CanaryOutcome.FLAGGED:
        return False
    connection.execute(
        insert(outbox).values(
            alert_id=found.alert_id, accepted_at=found.sent_at, lane_rank=0, severity=int(Severity.CRITICAL), due_at=now
        )
    )
    return True


def alerted(connection: Connection, alert_ids: Collection[UUID]) -> None:
    """Note that the alerts of canaries have come to be told; ids of others are passed over."""
    connection.execute(update(table).where(table.c.alert_id.in_(alert_ids)).values(alerted_at=func.clock_timestamp()))


def latest(connection: Connection) -> Mapping[str, Flight]:
    """Return, of each lane, the latest canary of which it is known how it went: it came home, or is overdue."""
    now = func.clock_timestamp()
    rows = connection.execute(
        select(table)
        .ext(distinct_on(table.c.lane))
        .where(
            table.c.sent_at > now - _LOOKS_BACK,
            table.c.alerted_at.is_not(None)
            | table.c.outcome.in_([CanaryOutcome.CLEAN.value, CanaryOutcome.FAILED.value])
            | (table.c.sent_at < now - timedelta(seconds=OVERDUE_SECONDS)),
        )
        .order_by(table.c.lane, table.c.sent_at.desc())
    )
    return {
        row.lane: Flight(
            lane=row.lane,
            sent_at=row.sent_at,
            outcome=CanaryOutcome(row.outcome) if row.outcome else None,
            judged_seconds=_between(row.sent_at, row.judged_at),
            alerted_seconds=_between(row.sent_at, row.alerted_at),
        )
        for row in rows
    }


def _between(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else (end - start).total_seconds()
