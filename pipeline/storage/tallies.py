"""Tallies: counts per minute and value, appended with every chunk and folded together later."""

from datetime import datetime

from sqlalchemy import Connection, text

_FOLD = (
    "WITH gone AS (DELETE FROM tallies WHERE bucket >= :start AND bucket < :end RETURNING *) "
    "INSERT INTO tallies (bucket, dimension, value, events, flagged) "
    "SELECT date_trunc(:unit, bucket), dimension, value, sum(events), sum(flagged) FROM gone GROUP BY 1, 2, 3"
)


def fold(connection: Connection, *, unit: str, start: datetime, end: datetime) -> None:
    """Fold the rows of a span into one per ``unit`` (``minute`` or ``hour``) and value. The sums stay the same."""
    connection.execute(text(_FOLD), {"unit": unit, "start": start, "end": end})


def forget(connection: Connection, *, before: datetime) -> None:
    """Delete the tallies before an instant."""
    connection.execute(text("DELETE FROM tallies WHERE bucket < :before"), {"before": before})
