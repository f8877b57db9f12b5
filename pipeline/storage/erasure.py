"""Erasing events on a person's request: their content goes, the accounts stay, and who did it is written down."""

from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, text

from pipeline.ids import EventId
from pipeline.storage import audit, client_ids, dead_letters, rejections, uploads

_CONTENT = ("events", "findings", "alerts")


def erase_event(connection: Connection, event: EventId, *, actor: str) -> bool:
    """Delete an event with its findings, alert and dead letter. Returns whether there was anything.

    The chunk's row stays, so the receipt still says that the event was looked at.
    """
    span = {"chunk": event.chunk, "position": event.position, "event": str(event)}
    gone = connection.execute(text("DELETE FROM dead_letters WHERE event_id = :event"), span).rowcount
    where = "chunk = :chunk AND position = :position"
    _forget_alerts(connection, where, span)
    client_ids.erase(connection, where, span)
    for table in _CONTENT:
        gone += connection.execute(text(f"DELETE FROM {table} WHERE {where}"), span).rowcount
    if gone:
        audit.note(connection, actor=actor, action="erase_event", target=str(event), detail=f"{gone} rows")
    return gone > 0


def erase_upload(connection: Connection, upload_id: UUID, *, actor: str) -> list[Path] | None:
    """Delete a split upload with all its events. Returns the spool's files to remove, None where there is none."""
    if not uploads.forget(connection, upload_id):
        return None
    span = {"upload": upload_id}
    hit = "(chunk, position) IN (SELECT chunk, position FROM events WHERE upload_id = :upload)"
    _forget_alerts(connection, hit, span)
    for table in ("findings", "alerts"):
        connection.execute(text(f"DELETE FROM {table} WHERE {hit}"), span)
    client_ids.erase(connection, "upload_id = :upload", span)
    count = connection.execute(text("DELETE FROM events WHERE upload_id = :upload"), span).rowcount
    dead_letters.forget(connection, upload_id=str(upload_id))
    audit.note(connection, actor=actor, action="erase_upload", target=str(upload_id), detail=f"{count} events")
    return rejections.forget(connection, source=str(upload_id))


def _forget_alerts(connection: Connection, hit: str, span: Mapping[str, object]) -> None:
    for table in ("outbox", "notifications"):
        query = f"DELETE FROM {table} WHERE alert_id IN (SELECT alert_id FROM alerts WHERE {hit})"
        connection.execute(text(query), span)
