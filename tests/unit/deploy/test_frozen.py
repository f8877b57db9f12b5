"""When the launcher restarts an API that lives and answers nobody."""

from collections.abc import Sequence

import pytest

from deploy.frozen import FrozenApi


def _restarts(answers: Sequence[float | None], *, late: float = 0.1, runs: bool = True) -> list[float]:
    """Return for how long the API was waited for before each restart; an answer comes after some seconds or never."""
    now = 0.0
    api, found = FrozenApi(lambda: now), []
    for answer in answers:
        patience = api.ask()
        answered = answer is not None and answer < patience
        now += answer if answer is not None and answered else patience + late
        if api.hear(answered=answered):
            found.append(patience)
            if runs:
                api.was_killed()
    return found


def test_an_api_that_answers_nobody_is_restarted_at_growing_distances() -> None:
    """
    After 15 s the first time; one that a restart did not help gets twice as long before the next, up to a bound.
    """
    assert _restarts([None] * 7) == [15, 30, 60, 120, 240, 320, 320]


@pytest.mark.parametrize("seconds", [0.01, 3.0, 14.0])
def test_one_that_is_merely_slow_is_left_alone(seconds: float) -> None:
    """
    Whoever answers at all within the patience lives, however long each answer takes.
    """
    assert _restarts([seconds] * 20) == []


def test_one_that_came_back_gets_no_longer_than_any_other() -> None:
    """
    An answer ends what was given for the restarts before it.
    """
    assert _restarts([None, None, 1.0, None]) == [15, 30, 15]


def test_one_that_did_not_run_gets_no_longer_for_it() -> None:
    """
    Where there was nothing to kill, no restart failed to help.
    """
    assert _restarts([None] * 3, runs=False) == [15, 15, 15]


@pytest.mark.parametrize("late", [6.0, 3600.0])
def test_a_launcher_that_was_frozen_restarts_nobody(late: float) -> None:
    """
    Whoever was not listening all the while knows nothing of the time between.
    """
    assert _restarts([None] * 10, late=late) == []


def test_a_question_that_is_refused_at_once_is_no_silence() -> None:
    """
    An API that ends while it is asked is started again by others.
    """
    assert _restarts([None] * 10, late=-14.0) == []
