"""Daily partitions: made ahead of time, dropped whole when retention says so."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text

from pipeline.storage._models import PARTITIONED

_DAYS_AHEAD = 3


def ensure(connection: Connection, *, today: datetime) -> list[str]:
    """Make the partitions of today and the next days. Returns the names of those that were missing."""
    start = today.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [start + timedelta(days=ahead) for ahead in range(-1, _DAYS_AHEAD + 1)]
    present = _present(connection)
    missing = [(table, day) for day in days for table in PARTITIONED if _name(table, day) not in present]
    for table, day in missing:
        _make(connection, table, day)
    return [_name(table, day) for table, day in missing]


def drop_before(connection: Connection, *, oldest: datetime) -> list[str]:
    """Drop every partition whose whole day lies before ``oldest``. Returns the names of those dropped."""
    limit = oldest.astimezone(UTC).strftime("%Y%m%d")
    dropped = [name for name in _present(connection) if name[-8:].isdigit() and name[-8:] < limit]
    for name in dropped:
        connection.execute(text(f"DROP TABLE {name}"))
    return dropped


def _make(connection: Connection, table: str, day: datetime) -> None:
    # What reached the default partition meanwhile would refuse the new one, so it is moved into it.
    name, span = _name(table, day), {"start": day, "end": day + timedelta(days=1)}
    connection.execute(text(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"))
    connection.execute(
        text(
            f"WITH moved AS (DELETE FROM {table}_default WHERE accepted_at >= :start AND accepted_at < :end "
            "RETURNING *) "
            f"INSERT INTO {name} SELECT * FROM moved"
        ),
        span,
    )
    bounds = f"FROM ('{span['start'].isoformat()}') TO ('{span['end'].isoformat()}')"
    connection.execute(text(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES {bounds}"))


def _name(table: str, day: datetime) -> str:
    return f"{table}_{day:%Y%m%d}"


def _present(connection: Connection) -> set[str]:
    found = connection.execute(
        text(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
            "JOIN pg_class parent ON parent.oid = inhparent WHERE parent.relname = ANY(:tables)"
        ),
        {"tables": list(PARTITIONED)},
    )
    return set(found.scalars())
