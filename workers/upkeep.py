"""Upkeep of what is stored: partitions ahead of time, retention, tallies folded, the witness compared."""

import contextlib
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from pipeline.journal import Journal
from pipeline.storage import ledger, partitions, rejections, tallies, transaction

_MINUTES_KEPT = timedelta(hours=2)
_STRAY_SECONDS = 86_400


def reconcile(engine: Engine) -> None:
    """Compare the witness with what was settled, and fold the tallies of the last minutes.

    Raises:
        StorageUnavailable: PostgreSQL is away; the next run goes on.
    """
    now = datetime.now(UTC)
    with transaction(engine) as connection:
        ledger.reconcile(connection, now=int(time.time()))
    with transaction(engine) as connection:
        tallies.fold(connection, unit="minute", start=now - timedelta(minutes=10), end=now - timedelta(minutes=1))


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
        ledger.prune(connection, before=oldest)
        spooled = rejections.forget(connection, before=oldest)
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
