"""Locks on names: who waits for one can say who holds it, and end a holder that is frozen in mid-transaction."""

from collections.abc import Sequence

import structlog
from sqlalchemy import Connection, Engine, text

from pipeline.errors import StorageUnavailable
from pipeline.storage._engine import transaction


def key(name: str) -> str:
    """Return the expression of the lock on what an SQL expression names."""
    return f"hashtextextended({name}, 0)"


def hold(connection: Connection, name: str) -> None:
    """Lock a name until the transaction ends.

    Raises:
        LockedByAnother: from the transaction, when it is not to be had in time.
    """
    connection.execute(text(f"SELECT pg_advisory_xact_lock({key(':name')})"), {"name": name})


def is_had(connection: Connection, name: str) -> bool:
    """Lock a name until the transaction ends, unless another holds it. Returns whether it is locked now."""
    had = connection.execute(text(f"SELECT pg_try_advisory_xact_lock({key(':name')})"), {"name": name})
    return bool(had.scalar_one())


def make_way(engine: Engine, names: Sequence[str]) -> None:
    """Terminate the backends that hold one of the names: a client frozen inside ``COPY`` outlives every time-out."""
    try:
        with transaction(engine) as connection:
            ended = connection.execute(text(_TERMINATE), {"names": list(names)}).scalar_one()
    except StorageUnavailable:
        return
    if ended:
        structlog.get_logger().warning("blocker_ended", blocked=names[0], backends=ended)


_TERMINATE = (
    f"WITH lock AS (SELECT {key('name')} AS key FROM unnest(:names) AS wanted (name)), "
    "holder AS (SELECT DISTINCT pid FROM pg_locks, lock "
    "WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid() AND objsubid = 1 "
    "AND classid::bigint = (key >> 32) & 4294967295 AND objid::bigint = key & 4294967295) "
    "SELECT count(pg_terminate_backend(pid)) FROM holder"
)
