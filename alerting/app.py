"""The alert worker's Celery app: ``celery -A alerting.app worker -Q alerts``."""

from celery import Celery
from celery.signals import setup_logging, worker_ready

from alerting import tasks
from alerting.settings import AlertSettings
from pipeline import telemetry
from pipeline.pulses import first_signs
from pipeline.queue import Queue, make_celery
from pipeline.settings import PipeSettings


def create_app(pipe: PipeSettings, settings: AlertSettings) -> Celery:
    """Make the app that serves the queue ``alerts``. Nothing is connected until a worker runs it."""
    made = make_celery(pipe, "alerting")
    setup_logging.connect(lambda **_: telemetry.configure(pipe), weak=False)
    worker_ready.connect(lambda **_: first_signs(pipe, [Queue.ALERTS]), weak=False)
    tasks.register(made, pipe, settings)
    return made


app = create_app(PipeSettings(), AlertSettings())
