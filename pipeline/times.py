"""Timestamps of events: RFC 3339 as clients write it."""

import re
from datetime import UTC, datetime, timedelta, timezone

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))?", re.ASCII
)
# In UTC, to the microsecond at most, and on a day that every month has: PostgreSQL reads it as ``occurred_at`` does.
_USUAL = re.compile(
    r"(?:19[7-9]\d|20\d\d)-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?Z",
    re.ASCII,
)
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)


class InvalidTimestamp(ValueError):
    """The text is no RFC 3339 timestamp."""


class OutOfRange(InvalidTimestamp):
    """The timestamp lies outside the years that this system keeps."""


def occurred_at(text: str) -> datetime:
    """Return the instant a timestamp names, in UTC; without an offset it is read as UTC.

    A leap second (``:60``) is the last second of its minute, since no clock here knows another. Digits behind the
    microseconds are dropped.

    Raises:
        InvalidTimestamp: the text is no RFC 3339 date and time.
        OutOfRange: it lies before 1970 or after 2099.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise InvalidTimestamp
    try:
        # A hundred times faster, and right about all that is usual: UTC, no leap second, no midnight as hour 24.
        if not found[9] and found[4] != "24":
            return _within(datetime.fromisoformat(text[:19] + (f".{found[7]}" if found[7] else "")).replace(tzinfo=UTC))
    except ValueError:
        pass
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    micros = int((found[7] or "")[:6].ljust(6, "0"))
    try:
        zone = timezone(_offset(found[9], int(found[10]), int(found[11]))) if found[9] else UTC
        moment = datetime(year, month, day, hour, minute, min(second, 59) if second <= 60 else second, micros, zone)  # noqa: PLR2004
        moment = moment.astimezone(UTC)
    except OverflowError as error:
        raise OutOfRange from error
    except ValueError as error:
        raise (InvalidTimestamp if year else OutOfRange) from error
    return _within(moment)


def instant(text: str) -> str:
    """Return the instant that a timestamp names as PostgreSQL reads it, nearly always without calculating it.

    Raises:
        InvalidTimestamp: as ``occurred_at``.
    """
    return text if _USUAL.fullmatch(text) else occurred_at(text).isoformat()


def _within(moment: datetime) -> datetime:
    if not EARLIEST <= moment < LATEST:
        raise OutOfRange
    return moment


def rfc3339(moment: datetime | None) -> str | None:
    """Write a moment as the interface does, in UTC; None stays None."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _offset(sign: str, hours: int, minutes: int) -> timedelta:
    if hours > 23 or minutes > 59:  # noqa: PLR2004 - as RFC 3339 section 5.6 bounds them
        raise InvalidTimestamp
    span = timedelta(hours=hours, minutes=minutes)
    return -span if sign == "-" else span
