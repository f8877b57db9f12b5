"""Cursors: where the next page begins, as opaque text that is safe in a URL."""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from pipeline.http import Problem

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LARGEST_POSITION = (1 << 31) - 1


def write(at: datetime, unique: UUID, position: int = 0) -> str:
    """Return the cursor of a place in a list that is ordered by time."""
    place = ((at - _EPOCH) // _MICROSECOND, unique.hex, position)
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def read(cursor: str) -> tuple[datetime, UUID, int]:
    """Read a cursor back.

    Raises:
        Problem: it is none that was given out here.
    """
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        decoded = base64.b64decode(padded, altchars=b"-_", validate=True)
        microseconds, unique, position = msgspec.json.decode(decoded, type=tuple[int, str, int])
        # A position that the column cannot hold stands behind all others.
        return _EPOCH + microseconds * _MICROSECOND, UUID(unique), min(max(position, 0), _LARGEST_POSITION)
    except (binascii.Error, msgspec.MsgspecError, ValueError, OverflowError) as error:
        detail = "The cursor is none that was given out here; begin again without it."
        raise Problem(422, "Unreadable cursor", detail) from error
