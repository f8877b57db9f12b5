"""Uploads once their file has been split; until then the journal holds their state."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from pipeline.journal import Journal
from pipeline.storage._engine import transaction
from pipeline.storage._models import chunks, uploads
from pipeline.times import rfc3339

_LIVE = {"": "splitting", "end": "analyzing", "fault": "failed"}


@dataclass(frozen=True, slots=True)
class UploadStatus:
    """An upload as the interface shows it. Rates are events per second; times are UTC."""

    upload_id: str
    file_name: str
    state: str
    bytes_total: int
    bytes_read: int
    accepted: int
    rejected: int
    judged: int
    duplicates: int
    flagged: int
    dead: int
    events_per_second: float
    eta_seconds: float | None
    error: str | None
    received_at: datetime

    @property
    def is_settled(self) -> bool:
        """Whether nothing of the upload waits any more."""
        settled = self.judged + self.duplicates + self.dead
        return self.state == "done" or (self.state == "failed" and settled >= self.accepted)

    def public(self) -> dict[str, object]:
        """Return the fields as JSON shows them."""
        return asdict(self) | {"received_at": rfc3339(self.received_at)}


def close(connection: Connection, upload_id: str, fields: Mapping[str, str]) -> None:
    """Write down the final figures of a split file. Doing so again changes nothing."""
    connection.execute(
        insert(uploads)
        .values(
            upload_id=UUID(upload_id),
            file_name=fields["file_name"].replace("\0", ""),
            state=_LIVE[fields["finished"]],
            bytes_total=int(fields["bytes_total"]),
            bytes_read=int(fields["checkpoint"]),
            accepted=int(fields["accepted"]),
            rejected=int(fields["rejected"]),
            error=fields.get("error") or None,
            received_at=_instant(fields["received_at"]),
            split_at=datetime.now(UTC),
        )
        .on_conflict_do_nothing()
    )


def status(engine: Engine, journal: Journal, upload_id: UUID) -> UploadStatus | None:
    """Return an upload's state, or None when there is none of that id.

    Raises:
        JournalUnavailable, StorageUnavailable: what would know is away.
    """
    live = journal.upload(str(upload_id))
    with transaction(engine) as connection:
        row = connection.execute(select(uploads).where(uploads.c.upload_id == upload_id)).mappings().first()
        if row is None and not live:
            return None
        counts = _counts(connection, [upload_id]).get(upload_id, _Counts())
    return _status(dict(row), counts) if row is not None else _status(_row(upload_id, live), counts)


def listing(engine: Engine, journal: Journal, *, limit: int) -> list[UploadStatus]:
    """Return the newest uploads, newest first."""
    open_ids = [UUID(found) for found in journal.open_uploads()]
    live = {found: fields for found in open_ids if (fields := journal.upload(str(found)))}
    with transaction(engine) as connection:
        query = select(uploads).order_by(uploads.c.received_at.desc()).limit(limit)
        rows = {row["upload_id"]: dict(row) for row in connection.execute(query).mappings()}
        rows = {found: _row(found, fields) for found, fields in live.items()} | rows
        counts = _counts(connection, list(rows))
    found = [_status(row, counts.get(upload_id, _Counts())) for upload_id, row in rows.items()]
    return sorted(found, key=lambda upload: upload.received_at, reverse=True)[:limit]


def forget(connection: Connection, upload_id: UUID) -> bool:
    """Delete an upload's own row. Returns whether there was one."""
    return connection.execute(delete(uploads).where(uploads.c.upload_id == upload_id)).rowcount > 0


@dataclass(frozen=True, slots=True)
class _Counts:
    judged: int = 0
    duplicates: int = 0
    flagged: int = 0
    dead: int = 0
    settled_at: datetime | None = None


def _counts(connection: Connection, upload_ids: list[UUID]) -> dict[UUID, _Counts]:
    names = ("judged", "duplicates", "flagged", "dead")
    sums = [func.coalesce(func.sum(chunks.c[name]), 0).label(name) for name in names]
    query = (
        select(chunks.c.upload_id, *sums, func.max(chunks.c.settled_at).label("settled_at"))
        .where(chunks.c.upload_id.in_(upload_ids))
        .group_by(chunks.c.upload_id)
    )
    rows = connection.execute(query).mappings()
    return {row["upload_id"]: _Counts(**{name: row[name] for name in (*names, "settled_at")}) for row in rows}


def _status(row: Mapping[str, Any], counts: _Counts) -> UploadStatus:
    settled = counts.judged + counts.duplicates + counts.dead
    state = row["state"]
    if state == "analyzing" and settled >= row["accepted"]:
        state = "done"
    elapsed = ((counts.settled_at or datetime.now(UTC)) - row["received_at"]).total_seconds()
    rate = settled / elapsed if elapsed > 0 else 0.0
    return UploadStatus(
        upload_id=str(row["upload_id"]),
        file_name=row["file_name"],
        state=state,
        bytes_total=row["bytes_total"],
        bytes_read=row["bytes_read"],
        accepted=row["accepted"],
        rejected=row["rejected"],
        judged=counts.judged,
        duplicates=counts.duplicates,
        flagged=counts.flagged,
        dead=counts.dead,
        events_per_second=round(rate, 1),
        eta_seconds=_eta(row, settled, rate, state),
        error=row["error"],
        received_at=row["received_at"],
    )


def _eta(row: Mapping[str, Any], settled: int, rate: float, state: str) -> float | None:
    expected = float(row["accepted"])
    if state in {"received", "splitting"}:
        if not row["bytes_read"]:
            return None
        expected *= row["bytes_total"] / row["bytes_read"]
    if settled >= expected:
        return 0.0
    return round((expected - settled) / rate, 1) if rate else None


def _row(upload_id: UUID, fields: Mapping[str, str]) -> dict[str, object]:
    started = fields.get("token") or fields["checkpoint"] != "0"
    return {
        "upload_id": upload_id, "file_name": fields["file_name"],
        "state": _LIVE[fields.get("finished", "")] if started else "received",
        "bytes_total": int(fields["bytes_total"]), "bytes_read": int(fields["checkpoint"]),
        "accepted": int(fields["accepted"]), "rejected": int(fields["rejected"]), "error": fields.get("error") or None,
        "received_at": _instant(fields["received_at"]), "split_at": None,
    }  # fmt: skip


def _instant(micros: str) -> datetime:
    return datetime.fromtimestamp(int(micros) / 1e6, UTC)
