"""The control: plain Celery as its manual advises, on the same Valkey, so that a loss can be seen."""

import os

from celery import Celery
from redis import Redis

DONE = "control:done"
_URL = os.environ.get("CONTROL_REDIS_URL", "redis://127.0.0.1:6379/0")

app = Celery("control", broker=_URL, set_as_current=False)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_default_queue="control",
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": 1, "unacked_restore_interval": 1, "unacked_restore_throttle": 1, "socket_timeout": 5,
    },
)  # fmt: skip


@app.task(name="control.judge")  # type: ignore[untyped-decorator]
def judge(token: str) -> None:
    """Write down that a token was worked on."""
    Redis.from_url(_URL).sadd(DONE, token)
