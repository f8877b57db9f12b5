"""How full Redis is, and how durable it makes a 202: read beside the requests, never inside one."""

import threading
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError

_EVERY_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Reading:
    """Redis' memory in bytes; ``bound`` is 0 where it has none."""

    used: int = 0
    bound: int = 0

    @property
    def share(self) -> float:
        """How much of the bound is used, 0 to 1; 0 where there is no bound."""
        return self.used / self.bound if self.bound else 0.0


class Pressure:
    """Watches Redis' memory, so that new events are refused well before Redis refuses everybody."""

    def __init__(self, redis: Redis, *, share: float) -> None:
        """Watch ``redis``; from ``share`` of its bound on it counts as full."""
        self._redis, self._share = redis, share
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="pressure", daemon=True)
        self.reading = Reading()

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    @property
    def is_high(self) -> bool:
        """Whether new events have to be refused now."""
        return self.reading.share >= self._share

    def _watch(self) -> None:
        while True:
            try:
                found = self._redis.info("memory")
                self.reading = Reading(int(found["used_memory"]), int(found.get("maxmemory", 0)))
            except RedisError:
                pass  # that Redis is away is the flush's to find out, and to say
            if self._stop.wait(_EVERY_SECONDS):
                return
