"""The beat's schedule, which goes on when the machine's clock is set back."""

from typing import Any

from celery.beat import PersistentScheduler


class Scheduler(PersistentScheduler):
    """Sends what is due; a stock one whose clock is set back by an hour sends nothing for an hour."""

    def tick(self, *args: Any, **options: Any) -> float:  # noqa: ANN401 - Celery's signature
        """Send what is due. Returns the seconds until the next look."""
        now = self.app.now()
        for entry in self.schedule.values():
            if entry.last_run_at > now:
                entry.last_run_at = now
                self._heap = None  # ordered by times that will not come for long
        return float(super().tick(*args, **options))
