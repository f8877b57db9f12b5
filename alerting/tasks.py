"""The alert worker's tasks. A message only says that something may be due; what is due stands in the outbox."""

from functools import cache

import structlog
from celery import Celery
from sqlalchemy import Engine

from alerting import notify
from alerting.deliver import Courier
from alerting.receivers import configured
from alerting.settings import AlertSettings
from pipeline.errors import QueueUnavailable, StorageUnavailable
from pipeline.queue import Queue, TaskName, wake
from pipeline.settings import PipeSettings
from pipeline.storage import make_engine

_TIME_LIMIT = 20  # a slice, the longest attempt begun at its end, and the notes

log = structlog.get_logger()


def register(app: Celery, pipe: PipeSettings, settings: AlertSettings) -> None:
    """Give the app its tasks. Connections and threads are made at the first one, in the process that runs it."""

    @cache
    def equipment() -> tuple[Engine, Courier]:
        engine = make_engine(pipe.database_url.get_secret_value(), application="sentinel-alerts")
        receivers = configured(settings)
        log.info("receivers_ready", receivers=sorted(receivers))
        return engine, Courier(receivers, link_base=settings.link_base())

    def tell_due_alerts() -> None:
        engine, courier = equipment()
        try:
            end = notify.run(engine, courier, side_by_side=settings.alert_concurrency)
        except StorageUnavailable as error:
            log.warning("alerts_deferred", reason=str(error))
            return
        if end is notify.SliceEnd.TIME_UP:
            _ring_again(app)

    app.task(name=TaskName.NOTIFY, time_limit=_TIME_LIMIT)(tell_due_alerts)


def _ring_again(app: Celery) -> None:
    try:
        wake(app, TaskName.NOTIFY, Queue.ALERTS)
    except QueueUnavailable as error:
        log.warning("ring_deferred", reason=str(error))
