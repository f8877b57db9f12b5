"""The audit trail: who changed what, and when."""

from datetime import UTC, datetime

from sqlalchemy import Connection, insert

from pipeline.storage._models import audit as table


def note(connection: Connection, *, actor: str, action: str, target: str, detail: str = "") -> None:
    """Write down a deed in the transaction that does it."""
    connection.execute(
        insert(table).values(at=datetime.now(UTC), actor=actor, action=action, target=target, detail=detail)
    )
