"""The Celery app of the workers for ``realtime``, ``bulk`` and ``maintenance``, and of the beat."""

from contextlib import suppress
from typing import Any

from celery.signals import (
    beat_init,
    setup_logging,
    worker_before_create_process,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
)

from pipeline.errors import JournalUnavailable
from pipeline.pulses import BEAT, first_signs
from pipeline.queue import Queue, TaskName, make_celery
from pipeline.settings import PipeSettings
from pipeline.telemetry import configure
from workers.bench import bury_children, follow_rules, judge
from workers.memory import bound

_MOST_MEMORY = 2 << 30  # of one process that judges; beyond, an event fails instead of taking the machine along
_settings = PipeSettings()
app = make_celery(_settings, "workers")
setup_logging.connect(lambda **_: configure(_settings), weak=False)


def _judging() -> list[str]:
    """Return the queues of this worker whose events it judges."""
    return sorted({str(Queue.REALTIME), str(Queue.BULK)}.intersection(app.amqp.queues.consume_from))


@worker_before_create_process.connect
def _load_rules(**_: object) -> None:
    if _judging():
        # A child that takes the place of another begins with the rules of now.
        judge(_settings).rules.refresh()
        judge(_settings).now()


@worker_before_create_process.connect
def _bury(**_: object) -> None:
    if _judging():
        with suppress(JournalUnavailable):  # the leases run out by themselves
            bury_children(_settings)


@worker_process_init.connect
def _follow_rules(**_: object) -> None:
    if queues := _judging():
        follow_rules(_settings, ",".join(queues))
        bound(_MOST_MEMORY)


@worker_process_shutdown.connect
def _leave_rules(**_: object) -> None:
    if _judging():
        judge(_settings).rules.stop()


app.conf.include = ["workers.tasks"]


@worker_ready.connect
def _give_first_sign(sender: Any = None, **_: object) -> None:  # noqa: ANN401 - Celery's consumer
    first_signs(_settings, sender.app.amqp.queues.consume_from)


@beat_init.connect
def _give_first_sign_of_beat(**_: object) -> None:
    first_signs(_settings, [BEAT])


def _every(seconds: float, name: TaskName, queue: Queue, *args: str) -> dict[str, object]:
    # A message that was not taken in time says nothing the next one does not say again.
    return {
        "task": name,
        "schedule": seconds,
        "args": args,
        "options": {"queue": str(queue), "expires": max(2.0, seconds * 2)},
    }


app.conf.beat_schedule = {
    "sweep": _every(1.0, TaskName.SWEEP, Queue.MAINTENANCE),
    "reconcile": _every(5.0, TaskName.RECONCILE, Queue.MAINTENANCE),
    "tidy": _every(60.0, TaskName.TIDY, Queue.MAINTENANCE),
    "retention": _every(3600.0, TaskName.RETENTION, Queue.MAINTENANCE),
    "notify": _every(1.0, TaskName.NOTIFY, Queue.ALERTS),
    "pulse-realtime": _every(3.0, TaskName.PULSE, Queue.REALTIME, Queue.REALTIME),
    "pulse-bulk": _every(3.0, TaskName.PULSE, Queue.BULK, Queue.BULK),
    "pulse-maintenance": _every(3.0, TaskName.PULSE, Queue.MAINTENANCE, Queue.MAINTENANCE),
}
if _settings.canary_seconds:
    app.conf.beat_schedule["canary"] = _every(_settings.canary_seconds, TaskName.CANARY, Queue.MAINTENANCE)
app.conf.beat_max_loop_interval = 1.0
app.conf.beat_scheduler = "workers.schedule:Scheduler"
