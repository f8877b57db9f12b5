"""``COPY`` of rows, built once as text: an order of magnitude faster than inserts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from io import BytesIO
from typing import Any, cast
from uuid import UUID

import psycopg2.extensions
from sqlalchemy import Connection

_PIECE = 1 << 16
NUL_STANDS_AS = "\ufffd"


class Written(str):
    """One column or several, as ``COPY`` reads them: what many rows have in common is written once."""

    __slots__ = ()


Value = Written | str | int | bool | datetime | UUID | Sequence[str] | None


def written(*values: Value) -> Written:
    """Write columns of a row."""
    return Written("\t".join([_WRITERS[type(value)](value) for value in values]))


def written_texts(texts: Sequence[str]) -> tuple[Written, bool]:
    """Write columns that hold texts, all at once. Returns also whether there is a NUL in any of them."""
    whole = "\0".join(texts)
    if whole.count("\0") >= len(texts):
        return written(*texts), True
    return Written(_escape(whole, nul="\t")), False


def copy(connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> int:
    """Append rows to a table, each given by its values, or written already. Returns how many.

    Raises:
        psycopg2.Error: the driver's own error; ``transaction()`` tells an outage from a fault.
    """
    lines = text_of(rows)
    if not lines:
        return 0
    names = ", ".join(f'"{name}"' for name in columns)
    lines.append("")
    raw = cast("psycopg2.extensions.connection", connection.connection.driver_connection)
    with raw.cursor() as cursor:
        cursor.copy_expert(f'COPY "{table}" ({names}) FROM STDIN', BytesIO("\n".join(lines).encode()), _PIECE)
    return len(lines) - 1


def text_of(rows: Iterable[Sequence[Value]]) -> list[str]:
    """Write rows, a line each."""
    return [row if type(row) is Written else written(*row) for row in rows]


def _escape(value: str, nul: str = NUL_STANDS_AS) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t").replace("\0", nul)


def _array(items: Sequence[str]) -> str:
    quoted = (item.replace("\\", "\\\\").replace('"', '\\"') for item in items)
    return _escape("{" + ",".join(f'"{item}"' for item in quoted) + "}")


_WRITERS: Mapping[type, Callable[[Any], str]] = {
    str: _escape, Written: str, int: str, bool: str, UUID: str, datetime: datetime.isoformat, list: _array,
    type(None): lambda _: r"\N",
}  # fmt: skip
