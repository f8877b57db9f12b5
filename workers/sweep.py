"""Finds what stays open too long, and rings for it again. Any number of sweepers may run at the same time."""

from collections.abc import Callable, Sequence

from redis import Redis

from pipeline.journal import Journal, Lane
from pipeline.queue import oldest_ring

_MOST_OF_A_KIND = 1000

Ring = Callable[[Lane, Sequence[str], int], None]


def run(redis: Redis, journal: Journal, ring: Ring) -> int:
    """Sweep both lanes once. Returns how many entries were rung again.

    Raises:
        JournalUnavailable, QueueUnavailable: Redis is away; the next sweep goes on.
    """
    rung = 0
    for lane in Lane:
        stamp, entries = journal.due(lane, oldest_ring(redis, lane), limit=_MOST_OF_A_KIND)
        if entries:
            ring(lane, entries, stamp)
        rung += len(entries)
    return rung
