"""The audit trail: who changed what, and when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, insert, select

from pipeline.storage._operation import audit as table


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody did."""

    at: datetime
    actor: str
    action: str
    target: str
    detail: str


def note(connection: Connection, *, actor: str, action: str, target: str, detail: str = "") -> None:
    """Write down a deed in the transaction that does it."""
    connection.execute(
        insert(table).values(at=datetime.now(UTC), actor=actor, action=action, target=target, detail=detail)
    )


def listing(connection: Connection, *, action: str, limit: int) -> Sequence[Deed]:
    """Return the deeds of a kind, the latest first."""
    columns = (table.c.at, table.c.actor, table.c.action, table.c.target, table.c.detail)
    found = connection.execute(
        select(*columns).where(table.c.action == action).order_by(table.c.audit_id.desc()).limit(limit)
    )
    return [Deed(**row) for row in found.mappings()]
