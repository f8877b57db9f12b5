"""Tallies: counts per minute and value, appended with every chunk and folded together later."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from pipeline.storage import locks

_LOCK = "tallies"
_FOLD = (
    "WITH gone AS (DELETE FROM tallies WHERE bucket >= :start AND bucket < :end RETURNING *) "
    "INSERT INTO tallies (bucket, dimension, value, events, flagged) "
    "SELECT date_trunc(:unit, bucket), dimension, value, sum(events), sum(flagged) FROM gone GROUP BY 1, 2, 3"
)
# The dimension of severities has six values at most: more rows in a minute say that it was not folded yet.
_SCATTERED = (
    "SELECT bucket FROM tallies WHERE dimension = 'severity' AND bucket >= :start AND bucket < :end "
    "GROUP BY bucket HAVING count(*) > count(DISTINCT value) ORDER BY bucket LIMIT 1"
)


def fold(connection: Connection, *, unit: str, start: datetime, end: datetime) -> None:
    """Fold the rows of a span into one per ``unit`` (``minute`` or ``hour``) and value. The sums stay the same."""
    connection.execute(text(_FOLD), {"unit": unit, "start": start, "end": end})


def fold_a_minute(connection: Connection, *, start: datetime, end: datetime) -> bool:
    """Fold the first minute of a span that still has several rows per value. Returns whether there was one."""
    span = {"start": start, "end": end}
    if not locks.is_had(connection, _LOCK):
        return False
    bucket = connection.execute(text(_SCATTERED), span).scalar()
    if bucket is None:
        return False
    fold(connection, unit="minute", start=bucket, end=bucket + timedelta(minutes=1))
    return True


def forget(connection: Connection, *, before: datetime) -> None:
    """Delete the tallies before an instant."""
    connection.execute(text("DELETE FROM tallies WHERE bucket < :before"), {"before": before})
