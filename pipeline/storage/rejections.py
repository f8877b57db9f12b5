"""Refused records, kept with their place and reason, so that they can be corrected and sent again."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, case, delete, func, literal, select, text

from pipeline.chunk import RejectedRecord
from pipeline.storage._copy import copy
from pipeline.storage._models import rejections as table

_COLUMNS = ("source", "index", "byte_offset", "pointer", "code", "detail", "record", "spooled", "at")


def keep(connection: Connection, records: Sequence[RejectedRecord]) -> None:
    """Keep refused records. Keeping the same one again changes nothing."""
    if not records:
        return
    now = datetime.now(UTC)
    rows = (
        [
            record.source, record.index, record.byte_offset, _storable(record.pointer), record.code,
            _storable(record.detail), None if record.record is None else "\\x" + record.record.hex(),
            record.spooled, now,
        ]
        for record in records
    )  # fmt: skip
    connection.execute(
        text("CREATE TEMP TABLE IF NOT EXISTS rejections_in (LIKE rejections INCLUDING DEFAULTS) ON COMMIT DELETE ROWS")
    )
    copy(connection, "rejections_in", _COLUMNS, rows)
    connection.execute(text("INSERT INTO rejections SELECT * FROM rejections_in ON CONFLICT DO NOTHING"))


def page(
    connection: Connection, source: str, *, after: int, limit: int, largest: int | None = None
) -> list[RejectedRecord]:
    """Return refused records of a source, in order, from the one behind index ``after`` on.

    The bytes of records of more than ``largest`` are left out.
    """
    columns = [column for column in table.c if column.name != "record"]
    fits = literal(largest is None) | (func.octet_length(table.c.record) <= (largest or 0))
    found = connection.execute(
        select(*columns, case((fits, table.c.record)).label("record"))
        .where(table.c.source == source, table.c.index > after)
        .order_by(table.c.index)
        .limit(limit)
    )
    return [
        RejectedRecord(
            row["source"], row["index"], row["pointer"], row["code"], row["detail"], row["byte_offset"],
            None if row["record"] is None else bytes(row["record"]), row["spooled"],
        )
        for row in found.mappings()
    ]  # fmt: skip


def forget(connection: Connection, *, before: datetime | None = None, source: str | None = None) -> list[Path]:
    """Delete refused records by age or by source. Returns the spool files that belonged to them."""
    statement = delete(table).returning(table.c.spooled)
    statement = statement.where(table.c.at < before) if before is not None else statement
    statement = statement.where(table.c.source == source) if source is not None else statement
    return [Path(name) for name in connection.execute(statement).scalars() if name is not None]


def _storable(text: str) -> str:
    return text.replace("\0", "\\u0000")
