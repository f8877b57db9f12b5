"""How full Redis is, and how much waits to be judged: read beside the requests, never inside one."""

import time
from contextlib import suppress
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError

from pipeline.errors import LaneCrowded
from pipeline.every import Every
from pipeline.journal import Lane

_EVERY_SECONDS = 0.25
_STILL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Reading:
    """Redis' memory in bytes; ``bound`` is 0 where it has none."""

    used: int = 0
    bound: int = 0

    @property
    def share(self) -> float:
        """How much of the bound is used, 0 to 1; 0 where there is no bound."""
        return self.used / self.bound if self.bound else 0.0


@dataclass(slots=True)
class _Backlog:
    """What posts have waiting in a lane: bytes, the stamp of the last settlement, and when that was news.

    A worker that takes chunks up and puts them off again, for want of PostgreSQL, moves nothing.
    """

    size: int = 0
    settled: bytes | None = None
    since: float = 0.0

    def see(self, size: int, settled: bytes | None) -> None:
        if settled != self.settled or not self.size:
            self.since = time.monotonic()
        self.size, self.settled = size, settled

    @property
    def is_moving(self) -> bool:
        return time.monotonic() - self.since < _STILL_SECONDS


class Pressure:
    """Watches Redis, so that events are refused early: before its memory is full, and before verdicts come late.

    A backlog is refused only while it is worked on. When judging stands still, because PostgreSQL is away, waiting is
    all that can be done for an event, and as many are taken as there is memory for.
    """

    def __init__(self, redis: Redis, *, share: float, backlog: int) -> None:
        """Watch ``redis``: ``share`` of its bound makes it full, ``backlog`` bytes of posts make a lane crowded."""
        self._redis, self._share, self._most = redis, share, backlog
        self._backlogs = {lane: _Backlog() for lane in Lane}
        self._rounds = Every(_EVERY_SECONDS, self._watch, name="pressure")
        self.reading = Reading()

    def start(self) -> None:
        """Begin to watch."""
        self._rounds.start()

    def stop(self) -> None:
        """Stop watching."""
        self._rounds.stop()

    @property
    def is_high(self) -> bool:
        """Whether new events have to be refused now."""
        return self.reading.share >= self._share

    def admit(self, lane: Lane) -> None:
        """Let a post into a lane.

        Raises:
            LaneCrowded: more waits in the lane than is judged in a few seconds.
        """
        backlog = self._backlogs[lane]
        if backlog.size >= self._most and backlog.is_moving:
            raise LaneCrowded

    def _watch(self) -> None:
        with suppress(RedisError):  # that it is away is the flush's to find out, and to say
            self._look()

    def _look(self) -> None:
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.info("memory")
            pipe.hmget("sentinel:bytes", [*Lane, "uploads"])
            pipe.hmget("sentinel:settled", [*Lane])
            memory, sizes, settled = pipe.execute()
        self.reading = Reading(int(memory["used_memory"]), int(memory.get("maxmemory", 0)))
        *of_lanes, uploads = (int(size or 0) for size in sizes)
        for lane, size, stamp in zip(Lane, of_lanes, settled, strict=True):
            # Uploads have a bound of their own, and posts on their lane are not to pay for them.
            self._backlogs[lane].see(size - uploads if lane is Lane.BULK else size, stamp)
