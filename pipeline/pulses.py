"""Signs of life: when the worker of each queue, and the beat, last did something."""

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import cast

from redis import Redis
from redis.exceptions import RedisError

from pipeline._scripts import translated
from pipeline.errors import JournalUnavailable
from pipeline.journal import connect
from pipeline.settings import PipeSettings

BEAT = "beat"
_PULSES = "sentinel:pulses"
_EVERY_SECONDS = 1.0
_ALIVE_SECONDS = 15.0


class Pulse:
    """Gives the signs of life of one process, one a second at most for each part."""

    def __init__(self, redis: Redis) -> None:
        """Give them to ``redis``, by its clock."""
        self._redis = redis
        self._given: dict[str, float] = {}

    def give(self, part: str) -> None:
        """Note that a worker of a queue, or the beat, did something just now.

        Raises:
            JournalUnavailable: Redis is away.
        """
        now = time.monotonic()
        if now - self._given.get(part, -_EVERY_SECONDS) < _EVERY_SECONDS:
            return
        try:
            seconds, micros = self._redis.time()
            self._redis.hset(_PULSES, part, seconds + micros / 1e6)
        except RedisError as error:
            raise JournalUnavailable(str(error)) from error
        self._given[part] = now


def first_signs(settings: PipeSettings, parts: Iterable[str]) -> None:
    """Note that parts are about to work, so that whoever waits for them need not wait for the schedule."""
    redis = connect(settings.redis_url.get_secret_value())
    with suppress(JournalUnavailable):
        for part in parts:
            Pulse(redis).give(part)
    redis.close()


def ages(redis: Redis) -> dict[str, float]:
    """Return how many seconds ago each part last gave a sign.

    Raises:
        JournalUnavailable: Redis is away.
    """
    with translated():
        seconds, micros = redis.time()
        found = cast("dict[bytes, bytes]", redis.hgetall(_PULSES))
    now = seconds + micros / 1e6
    return {part.decode(): max(0.0, now - float(at)) for part, at in found.items()}


def is_alive(age: float | None) -> bool:
    """Say whether a part that gave its last sign ``age`` seconds ago counts as working."""
    return age is not None and age < _ALIVE_SECONDS
