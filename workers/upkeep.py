"""Upkeep of what is stored: partitions ahead of time, retention, tallies folded, the witness compared."""

import contextlib
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import Engine

from pipeline.journal import Journal
from pipeline.storage import hours, ledger, partitions, rejections, retention, tallies, transaction, unruled

_MINUTES_KEPT = timedelta(hours=2)
_STRAY_SECONDS = 86_400
_TIDY_SECONDS = 20.0
_NAMED_AT_ONCE = 5_000


def reconcile(engine: Engine, journal: Journal) -> None:
    """Compare the witness with what was settled, sum up the hours that are over, note how far Redis has counted.

    Raises:
        JournalUnavailable, StorageUnavailable: one of them is away; the next run goes on.
    """
    now = journal.now() // 1_000_000
    with transaction(engine) as connection:
        ledger.reconcile(connection, now=now)
        hours.fold(connection)
    if forgot := ledger.remember(engine, journal):
        structlog.get_logger().warning("redis_forgot", counted=forgot)


def tidy(engine: Engine) -> None:
    """Name rules that an older worker left out, and fold the tallies of the last closed minutes, for a bounded time.

    Raises:
        StorageUnavailable: PostgreSQL is away; the next run goes on.
    """
    now, until = datetime.now(UTC), time.monotonic() + _TIDY_SECONDS
    start, end = now - _MINUTES_KEPT, now.replace(second=0, microsecond=0) - timedelta(minutes=1)
    with transaction(engine) as connection:
        unruled.name_rules(connection, most=_NAMED_AT_ONCE)
    while time.monotonic() < until:
        with transaction(engine) as connection:
            if not tallies.fold_a_minute(connection, start=start, end=end):
                return


def retain(engine: Engine, spool: Path, journal: Journal, *, days: int) -> list[str]:
    """Make the partitions of the next days, and drop what is older than ``days``.

    Returns:
        The names of the partitions dropped.

    Raises:
        JournalUnavailable, StorageUnavailable: one of them is away; the next run goes on.
    """
    now = datetime.now(UTC)
    oldest = now - timedelta(days=days)
    with transaction(engine) as connection:
        partitions.ensure(connection, today=now)
        dropped = partitions.drop_before(connection, oldest=oldest)
    with transaction(engine) as connection:
        tallies.fold(connection, unit="hour", start=now - timedelta(days=2), end=now - _MINUTES_KEPT)
        tallies.forget(connection, before=oldest)
        retention.forget(connection, before=oldest)
        spooled = rejections.forget(connection, before=oldest)
    with transaction(engine) as connection:
        # What the partition of a day says is accepted must stay for as long as the partition does.
        hours.prune(connection, before=oldest.replace(hour=0, minute=0, second=0, microsecond=0))
    for name in spooled:
        (spool / name).unlink(missing_ok=True)
    _remove_strays(spool, journal)
    return dropped


def _remove_strays(spool: Path, journal: Journal) -> None:
    # A file that no upload names any more: its request was cut off by a crash, or its last step was.
    named = {f"{upload_id}.json" for upload_id in journal.open_uploads()}
    limit = time.time() - _STRAY_SECONDS
    with contextlib.suppress(FileNotFoundError):
        for path in spool.iterdir():
            if path.suffix in {".json", ".part"} and path.name not in named and path.stat().st_mtime < limit:
                path.unlink(missing_ok=True)
