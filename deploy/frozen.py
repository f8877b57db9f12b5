"""Whether the API is to be restarted although it lives: it answers nobody, not even that it is alive.

The launcher asks ``/livez``, for which the API looks at nothing and needs no thread, so that a slow server behind it
keeps nobody from the answer. The question does queue with all others, and on a machine without time for the API every
answer comes late. A late one is a sign of life all the same: the question stays open for the whole patience.
"""

from collections.abc import Callable

PAUSE_SECONDS = 2.5  # between an answer and the next question
_PATIENCE_FIRST = 15.0
_PATIENCE_MOST = 320.0
_LATE_SECONDS = 5.0  # a launcher that noticed the end of its patience later than this was itself not running


class FrozenApi:
    """How long the API is waited for."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._asked_at = clock()
        self._patience = _PATIENCE_FIRST

    def ask(self) -> float:
        """Begin to wait for an answer. Returns for how many seconds the question is to be left open."""
        self._asked_at = self._clock()
        return self._patience

    def hear(self, *, answered: bool) -> bool:
        """Note what became of the question. Returns whether the API is to be killed.

        A question that failed before its time says nothing: whoever refuses it, or hangs up, is not frozen.
        """
        waited = self._clock() - self._asked_at
        if answered:
            self._patience = _PATIENCE_FIRST
        return not answered and self._patience <= waited <= self._patience + _LATE_SECONDS

    def was_killed(self) -> None:
        """Give it twice the time before the next: the restart may not help, or it may take long to start."""
        self._patience = min(2 * self._patience, _PATIENCE_MOST)
