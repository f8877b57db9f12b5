"""Which workers the launcher restarts, by what the API says of them, second by second."""

import json
from collections.abc import Iterator

import pytest

from deploy.stuck import StuckWorkers


class Clock:
    """A clock that goes when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def _said(*stuck: str, postgresql: str = "ok", swept: float | None = 1.0) -> bytes:
    idle = {"realtime": 30.0, "bulk": 30.0, "alerts": 70.0, "maintenance": swept}
    queues = [{"queue": queue, "stuck": queue in stuck, "idle_seconds": since} for queue, since in idle.items()]
    return json.dumps({"parts": {"redis": "ok", "postgresql": postgresql}, "queues": queues}).encode()


def _restarts(answers: Iterator[bytes | None] | list[bytes | None], *, every: float = 5.0) -> list[tuple[float, str]]:
    clock = Clock()
    workers, found = StuckWorkers(clock), []
    for answer in answers:
        clock.now += every
        found += [(clock.now, queue) for queue in workers.hear(answer)]
    return found


def test_a_worker_that_stays_stuck_is_restarted_at_growing_distances() -> None:
    """
    The first time after 20 s, and each time that did not help the next takes twice as long.
    """
    assert _restarts([_said("bulk")] * 32) == [(25, "bulk"), (65, "bulk"), (145, "bulk")]


def test_a_worker_that_came_back_is_given_no_longer_than_any_other() -> None:
    """
    Once it took something up, what was before does not count any more.
    """
    stuck, works = [_said("realtime")] * 5, [_said()]

    assert _restarts([*stuck, *works, *stuck, *works, *stuck[:4]]) == [(25, "realtime"), (55, "realtime")]


@pytest.mark.parametrize("nothing", [None, b"", b"<html>", b"[]", b"{}", _said("bulk", postgresql="down")])
def test_what_is_not_known_restarts_nobody(nothing: bytes | None) -> None:
    """
    While the API does not answer, or a server is away, nobody is stuck; and then it takes as long as ever.
    """
    assert _restarts([*[_said("bulk")] * 4, nothing, *[_said("bulk")] * 4]) == []


@pytest.mark.parametrize("swept", [None, 70.0])
def test_where_nobody_sweeps_the_lanes_are_left_alone(swept: float | None) -> None:
    """
    Their doorbells may be lost; what is to be restarted is who would ring again, and alerts, which need no sweep.
    """
    answer = _said("realtime", "bulk", "alerts", "maintenance", swept=swept)

    assert _restarts([*[answer] * 5, *[_said("bulk")] * 4]) == [(25, "alerts"), (25, "maintenance")]


def test_a_launcher_that_was_frozen_restarts_nobody() -> None:
    """
    Answers far apart say nothing of the time between.
    """
    assert _restarts([_said("bulk")] * 10, every=60.0) == []
