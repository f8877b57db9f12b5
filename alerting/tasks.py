"""The alert worker's task. A message only says that something may be due; what is due stands in the outbox."""

import time
from functools import cache

import structlog
from celery import Celery

from alerting import deadline, notify
from alerting.deliver import Courier
from alerting.receivers import configured
from alerting.settings import AlertSettings
from pipeline import watch
from pipeline.errors import JournalUnavailable, QueueUnavailable, StorageUnavailable
from pipeline.journal import connect
from pipeline.pulses import Pulse
from pipeline.queue import Queue, TaskName, wake
from pipeline.settings import PipeSettings
from pipeline.storage import make_engine

_TIME_LIMIT = 20  # a slice, the longest attempt begun at its end, and the notes
_WATCH_SECONDS = 5.0

log = structlog.get_logger()


class AlertWorker:
    """What one alert worker process works with, made when its first task arrives."""

    def __init__(self, pipe: PipeSettings, settings: AlertSettings) -> None:
        receivers = configured(settings)
        self._redis = connect(pipe.redis_url.get_secret_value())
        self._engine = make_engine(pipe.database_url.get_secret_value(), application="sentinel-alerts")
        self._courier = Courier(receivers, link_base=settings.link_base)
        self._pulse = Pulse(self._redis)
        self._watched = -_WATCH_SECONDS
        log.info("receivers_ready", receivers=sorted(receivers))

    def pulse(self) -> None:
        """Give a sign of life."""
        try:
            self._pulse.give(Queue.ALERTS)
        except JournalUnavailable as error:
            log.warning("pulse_missed", reason=str(error))

    def watch(self) -> None:
        """See that the watch is kept, every few seconds.

        Raises:
            StorageUnavailable: PostgreSQL is away.
        """
        now = time.monotonic()
        if now - self._watched < _WATCH_SECONDS:
            return
        self._watched = now
        try:
            watch.over_the_watch(self._redis, self._engine)
        except JournalUnavailable as error:
            log.warning("watch_missed", reason=str(error))

    def tell(self) -> notify.SliceEnd:
        """Tell what is due, for one slice.

        Raises:
            StorageUnavailable: PostgreSQL is away.
        """
        return notify.run(self._engine, self._courier)


def register(app: Celery, pipe: PipeSettings, settings: AlertSettings) -> None:
    """Give the app its task."""

    @cache
    def worker() -> AlertWorker:
        return AlertWorker(pipe, settings)

    def tell_due_alerts() -> None:
        with deadline.within(_TIME_LIMIT):
            worker().pulse()
            try:
                worker().watch()
                end = worker().tell()
            except StorageUnavailable as error:
                log.warning("alerts_deferred", reason=str(error))
                return
            if end is notify.SliceEnd.TIME_UP:
                _ring_again(app)

    app.task(name=TaskName.NOTIFY, send_events=False)(tell_due_alerts)


def _ring_again(app: Celery) -> None:
    try:
        wake(app, TaskName.NOTIFY, Queue.ALERTS)
    except QueueUnavailable as error:
        log.warning("ring_deferred", reason=str(error))
