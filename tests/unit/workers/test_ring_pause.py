"""How often the alert worker is rung: soon again for live events, later for uploads."""

import pytest
from pydantic import SecretStr

from pipeline.queue import Queue
from pipeline.settings import PipeSettings
from workers.bench import Worker


@pytest.mark.parametrize(("queue", "pause"), [(Queue.REALTIME, 0.25), (Queue.BULK, 1.0)])
def test_one_ring_is_worth_many_alerts(monkeypatch: pytest.MonkeyPatch, queue: Queue, pause: float) -> None:
    """
    The first flagged chunk rings, and then none until the pause of its lane is over, counted from the last ring.
    """
    now = 1_000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    nowhere = PipeSettings(
        redis_url=SecretStr("redis://127.0.0.1:1"), database_url=SecretStr("postgresql://127.0.0.1:1")
    )
    worker = Worker(nowhere)

    rung = []
    for passed in (0.0, pause * 0.9, pause, pause * 1.9, pause * 2.1):
        now = 1_000.0 + passed
        rung.append(worker.is_time_to_notify(queue))

    assert rung == [True, False, True, False, True]
