"""When the launcher restarts an API that lives and answers nobody."""

from collections.abc import Sequence

import pytest

from deploy.frozen import FrozenApi


def _restarts(answers: Sequence[bool], *, every: float = 5.0) -> list[float]:
    now = 0.0
    api, found = FrozenApi(lambda: now), []
    for answered in answers:
        now += every
        found += [now] if api.hear(answered=answered) else []
    return found


def test_an_api_that_answers_nobody_is_restarted_at_growing_distances() -> None:
    """
    After 15 s the first time; one that a restart did not help gets twice as long before the next.
    """
    assert _restarts([False] * 34) == [15, 35, 75, 155]


def test_an_answer_in_between_begins_anew() -> None:
    """
    One that is merely slow is left alone, and one that came back gets no longer than any other.
    """
    assert _restarts([False, False, True] * 10) == []
    assert _restarts([False] * 7 + [True] + [False] * 3) == [15, 35, 55]


@pytest.mark.parametrize("every", [11.0, 3600.0])
def test_a_launcher_that_was_frozen_restarts_nobody(every: float) -> None:
    """
    Questions far apart say nothing of the time between.
    """
    assert _restarts([False] * 10, every=every) == []
