"""Refused records, kept with their place and reason, so that they can be corrected and sent again."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from pipeline.chunk import RejectedRecord
from pipeline.storage._models import rejections as table


def keep(connection: Connection, records: Sequence[RejectedRecord]) -> None:
    """Keep refused records. Keeping the same one again changes nothing."""
    if not records:
        return
    rows = [
        {
            "source": record.source, "index": record.index, "byte_offset": record.byte_offset,
            "pointer": _storable(record.pointer), "code": record.code, "detail": _storable(record.detail),
            "record": record.record, "spooled": record.spooled, "at": datetime.now(UTC),
        }
        for record in records
    ]  # fmt: skip
    connection.execute(insert(table).on_conflict_do_nothing(), rows)


def page(connection: Connection, source: str, *, after: int, limit: int) -> list[RejectedRecord]:
    """Return refused records of a source, in order, from the one behind index ``after`` on."""
    found = connection.execute(
        select(table).where(table.c.source == source, table.c.index > after).order_by(table.c.index).limit(limit)
    )
    return [
        RejectedRecord(
            row["source"], row["index"], row["pointer"], row["code"], row["detail"], row["byte_offset"],
            None if row["record"] is None else bytes(row["record"]), row["spooled"],
        )
        for row in found.mappings()
    ]  # fmt: skip


def count(connection: Connection, source: str) -> int:
    """Return how many refused records of a source are kept."""
    return connection.execute(select(func.count()).where(table.c.source == source)).scalar_one()


def forget(connection: Connection, *, before: datetime | None = None, source: str | None = None) -> list[Path]:
    """Delete refused records by age or by source. Returns the spool files that belonged to them."""
    statement = delete(table).returning(table.c.spooled)
    statement = statement.where(table.c.at < before) if before is not None else statement
    statement = statement.where(table.c.source == source) if source is not None else statement
    return [Path(name) for name in connection.execute(statement).scalars() if name is not None]


def _storable(text: str) -> str:
    return text.replace("\0", "\\u0000")
