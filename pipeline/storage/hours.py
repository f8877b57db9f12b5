"""The hours that are over: what was settled in them is summed up once, so that the ledger does not read every chunk."""

from datetime import datetime

from sqlalchemy import Connection, text

OPEN_FROM = "(SELECT coalesce(max(hour) + interval '1 hour', '-infinity') FROM ledger_hours)"


def fold(connection: Connection) -> None:
    """Sum up the hours that are over, once and for ever."""
    connection.execute(text(_FOLD))


def prune(connection: Connection, *, before: datetime) -> int:
    """Delete the chunks settled before an instant; the sums of their hours stay. Returns how many went."""
    return connection.execute(text(_PRUNE), {"before": before}).rowcount


# A chunk row carries the clock of a moment before its commit: an hour counts as over when that cannot matter any more.
_FOLD = (
    "INSERT INTO ledger_hours (hour, judged, duplicates, dead) "
    "SELECT date_trunc('hour', settled_at), sum(judged), sum(duplicates), sum(dead) FROM chunks "
    f"WHERE settled_at >= {OPEN_FROM} AND settled_at < date_trunc('hour', now() - interval '10 minutes') "
    "GROUP BY 1 ON CONFLICT DO NOTHING"
)
# What the witness still misses events of stays, or the missing ones would grow with every chunk that goes.
_PRUNE = (
    f"DELETE FROM chunks c WHERE settled_at < least(:before, {OPEN_FROM}) "
    "AND NOT EXISTS (SELECT FROM dead_letters d WHERE d.chunk_id = c.chunk_id) "
    "AND NOT EXISTS (SELECT FROM witness w WHERE w.acceptor = c.acceptor AND w.second = c.accepted_second "
    "AND NOT w.reconciled)"
)
