"""``COPY`` of rows, built once as text: an order of magnitude faster than inserts."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from io import StringIO
from typing import cast
from uuid import UUID

import psycopg2.extensions
from sqlalchemy import Connection

Value = str | int | bool | datetime | UUID | Sequence[str] | None

NUL_STANDS_AS = "\ufffd"


def copy(connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> int:
    """Append rows to a table. Returns how many.

    Raises:
        psycopg2.Error: the driver's own error; ``transaction()`` tells an outage from a fault.
    """
    lines = ["\t".join(map(_field, row)) for row in rows]
    if not lines:
        return 0
    names = ", ".join(f'"{name}"' for name in columns)
    lines.append("")
    raw = cast("psycopg2.extensions.connection", connection.connection.driver_connection)
    with raw.cursor() as cursor:
        cursor.copy_expert(f'COPY "{table}" ({names}) FROM STDIN', StringIO("\n".join(lines)))
    return len(lines) - 1


def _field(value: Value) -> str:
    if isinstance(value, str):
        return _escape(value)
    if value is None:
        return r"\N"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bool | int | UUID):
        return str(value)
    items = (item.replace("\\", "\\\\").replace('"', '\\"') for item in value)
    return _escape("{" + ",".join(f'"{item}"' for item in items) + "}")


def _escape(value: str) -> str:
    return (
        value.replace("\\", "\\\\")
        .replace("\n", "\\n")
        .replace("\r", "\\r")
        .replace("\t", "\\t")
        .replace("\0", NUL_STANDS_AS)
    )
