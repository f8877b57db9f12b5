"""The tasks: each opens the letter, and hands it to the function that does the work."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import structlog
from celery import Task
from redis.exceptions import RedisError

from pipeline import pulses, watch
from pipeline.errors import PipelineError, QueueUnavailable
from pipeline.journal import Lane
from pipeline.queue import VERSION, Queue, TaskName, ring, wake
from pipeline.storage import strays
from workers import canary, split, sweep, upkeep
from workers.app import app
from workers.bench import worker


@app.task(name=TaskName.DETECT, bind=True)
def detect_task(task: Task, chunk_id: str, _stamp: int, version: int) -> None:
    """Judge the chunk that a doorbell names."""
    if _is_known(version):
        queue = task.request.delivery_info["routing_key"]
        with _outage_is_not_an_error():
            worker().detect(chunk_id, partial(_notify, queue))
            worker().pulse.give(queue)


@app.task(name=TaskName.SPLIT, bind=True)
def split_task(task: Task, entry_id: str, _stamp: int, version: int) -> None:
    """Split an uploaded file for one slice."""
    if _is_known(version):
        with _outage_is_not_an_error():
            split.run(entry_id, worker().splitting(_ring_bulk))
            worker().pulse.give(task.request.delivery_info["routing_key"])


@app.task(name=TaskName.SWEEP, send_events=False)
def sweep_task() -> None:
    """Ring again for what stays open too long."""
    with _outage_is_not_an_error():
        rung = sweep.run(worker().redis, worker().journal, _ring)
        worker().pulse.give(Queue.MAINTENANCE)
        worker().pulse.give(pulses.BEAT)
    if rung:
        structlog.get_logger().info("swept", rung=rung)


@app.task(name=TaskName.RECONCILE, time_limit=30)
def reconcile_task() -> None:
    """Compare the witness with what was settled, and look for what operators have to know."""
    with _outage_is_not_an_error():
        here = worker()
        upkeep.reconcile(here.engine, here.journal)
        watch.run(here.redis, here.engine, here.journal, canary_seconds=here.pipe.canary_seconds)
        # Last: whatever is stored, what is known is told first.
        strays.review(here.engine)


@app.task(name=TaskName.CANARY)
def canary_task() -> None:
    """Let a canary fly on each lane."""
    for lane in Lane:
        with _outage_is_not_an_error():
            canary.send(lane, engine=worker().engine, journal=worker().journal, ring=_ring)


@app.task(name=TaskName.TIDY, time_limit=120)
def tidy_task() -> None:
    """Fold the tallies of the last minutes."""
    with _outage_is_not_an_error():
        upkeep.tidy(worker().engine)


@app.task(name=TaskName.RETENTION, time_limit=600)
def retention_task() -> None:
    """Make partitions ahead of time, and drop what is too old."""
    with _outage_is_not_an_error():
        here = worker()
        upkeep.retain(here.engine, here.pipe.spool, here.journal, days=here.pipe.retention_days)


@app.task(name=TaskName.PULSE, send_events=False)
def pulse_task(queue: str) -> None:
    """Show that this queue is being worked on."""
    with _outage_is_not_an_error():
        worker().pulse.give(queue)


def _is_known(version: int) -> bool:
    if version == VERSION:
        return True
    structlog.get_logger().error("doorbell_of_unknown_version", version=version, known=VERSION)
    return False


@contextmanager
def _outage_is_not_an_error() -> Iterator[None]:
    # The journal keeps what this task did not do, and the sweep or the schedule brings it up again.
    try:
        yield
    except PipelineError as error:
        structlog.get_logger().warning("task_deferred", reason=type(error).__name__, error=str(error))


def _ring(lane: Lane, entries: Sequence[str], stamp: int) -> None:
    ring(app, lane, entries, stamp)


def _ring_bulk(entries: Sequence[str], stamp: int) -> None:
    ring(app, Lane.BULK, entries, stamp)


def _notify(queue: str) -> None:
    # What is not rung for here, the schedule rings for within a second.
    if not worker().is_time_to_notify(queue):
        return
    try:
        # One that waits already will find what was just written.
        if worker().redis.llen(Queue.ALERTS):
            return
        wake(app, TaskName.NOTIFY, Queue.ALERTS)
    except (QueueUnavailable, RedisError) as error:
        structlog.get_logger().warning("doorbell_deferred", task=TaskName.NOTIFY, error=str(error))
