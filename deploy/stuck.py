"""Which workers are to be restarted although they live: those that the API has called stuck for long enough.

The launcher asks ``/readyz?full=1``. A worker is stuck when something waits and it takes nothing up; one that is
behind, or that waits for PostgreSQL, takes up all the while. Where the API does not answer, or a server is away,
nothing is known; nor of the lanes while nobody sweeps, for what waits there may never have been rung for.
"""

import json
from collections.abc import Callable, Sequence

ASK_SECONDS = 5.0
_PATIENCE_FIRST = 20.0
_PATIENCE_MOST = 320.0
_SERVERS = ("redis", "postgresql")
_LANES = {"realtime", "bulk"}
_SWEEPS = "maintenance"
_SWEEP_SECONDS = 10.0


class StuckWorkers:
    """What the API has said of the queues since it last said nothing."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._heard_at = clock()
        self._since: dict[str, float] = {}
        self._patience: dict[str, float] = {}

    def hear(self, answer: bytes | None) -> Sequence[str]:
        """Take what the API said, None where it said nothing. Returns the queues whose workers are to be restarted.

        One that a restart did not help is given twice the time before the next.
        """
        now, before = self._clock(), self._heard_at
        self._heard_at = now
        stuck = _stuck(answer)
        # Whoever was not listening all the while knows nothing of the time between.
        if stuck is None or now - before > 3 * ASK_SECONDS:
            self._since.clear()
            return []
        self._since = {queue: self._since.get(queue, now) for queue in stuck}
        self._patience = {queue: self._patience.get(queue, _PATIENCE_FIRST) for queue in stuck}
        due = [queue for queue in stuck if now - self._since[queue] >= self._patience[queue]]
        for queue in due:
            self._since[queue] = now
            self._patience[queue] = min(2 * self._patience[queue], _PATIENCE_MOST)
        return due


def _stuck(answer: bytes | None) -> Sequence[str] | None:
    try:
        said = json.loads(answer or b"")
        if any(said["parts"][server] != "ok" for server in _SERVERS):
            return None
        idle = {queue["queue"]: queue["idle_seconds"] for queue in said["queues"]}
        is_swept = idle[_SWEEPS] is not None and idle[_SWEEPS] < _SWEEP_SECONDS
        unknown = set() if is_swept else _LANES
        return [queue["queue"] for queue in said["queues"] if queue["stuck"] and queue["queue"] not in unknown]
    except (ValueError, KeyError, TypeError):
        return None
