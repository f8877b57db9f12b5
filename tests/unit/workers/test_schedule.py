"""The beat's schedule on a clock that jumps."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from celery import Celery

from workers.schedule import Scheduler


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_jumps_by_an_hour_delays_nothing(
    hours: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Everything that is sent each second or each five is sent as before, within the seconds that follow the jump.
    """
    app, sent = Celery(set_as_current=False), list[str]()
    app.conf.beat_schedule = {
        name: {"task": name, "schedule": seconds, "options": {}} for name, seconds in (("sweep", 1.0), ("watch", 5.0))
    }
    now = datetime(2024, 1, 15, 14, 30, tzinfo=UTC)
    monkeypatch.setattr(Celery, "now", lambda _: now)
    monkeypatch.setattr(Scheduler, "apply_entry", lambda _, entry, **_rest: sent.append(entry.name))
    monkeypatch.setattr(Scheduler, "producer", None)
    scheduler = Scheduler(app, schedule_filename=str(tmp_path / "schedule"))

    def pass_seconds(count: int) -> list[str]:
        nonlocal now
        sent.clear()
        for _ in range(count * 10):
            now += timedelta(seconds=0.1)
            while scheduler.tick() == 0:
                pass
        return list(sent)

    pass_seconds(7)
    now += timedelta(hours=hours)
    after = pass_seconds(10)

    assert 9 <= after.count("sweep") <= 11
    assert 1 <= after.count("watch") <= 3
    scheduler.close()
