"""Whether the API is to be restarted although it lives: it answers nobody, not even that it is alive.

The launcher asks ``/livez``, for which the API looks at nothing and needs no thread: a slow server behind it, or many
requests, keep nobody from an answer to that.
"""

from collections.abc import Callable

ASK_SECONDS = 2.5
_PATIENCE_FIRST = 10.0  # from the first question that was not answered, which may itself come 5 s late
_PATIENCE_MOST = 320.0
_FAR_APART = 4 * ASK_SECONDS


class FrozenApi:
    """How long the API has said nothing."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._heard_at = clock()
        self._silent_since: float | None = None
        self._patience = _PATIENCE_FIRST

    def hear(self, *, answered: bool) -> bool:
        """Note whether it answered within ``ASK_SECONDS``. Returns whether it is to be restarted.

        One that a restart did not help, or that takes long to start, is given twice the time before the next.
        """
        now, before = self._clock(), self._heard_at
        self._heard_at = now
        if answered:
            self._patience = _PATIENCE_FIRST
        # Whoever was not listening all the while knows nothing of the time between.
        if answered or now - before > _FAR_APART:
            self._silent_since = None
            return False
        if self._silent_since is None:
            self._silent_since = now
        if now - self._silent_since < self._patience:
            return False
        self._silent_since = now
        self._patience = min(2 * self._patience, _PATIENCE_MOST)
        return True
