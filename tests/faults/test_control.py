"""The same kills for plain Celery and for this product: the one loses events, the other none."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import pytest
from redis import Redis

from tests.acceptance.calling import event, judged, post, verdict
from tests.faults.conftest import Installation
from tests.faults.victims import family_of, pid_of
from tests.integration.deploy.running import ROOT, eventually

_ROUNDS = 4
_EACH = 2


def _freeze_post_kill(pids: list[int], post_one: Callable[[], str]) -> list[str]:
    """Freeze a worker that waits for work, give it some, and kill it: what every machine that hangs and ends does."""
    _signal(pids, signal.SIGSTOP)
    tokens = [post_one() for _ in range(_EACH)]
    _signal(pids, signal.SIGKILL)
    return tokens


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # a child that ended with its parent
            os.kill(pid, number)


@contextmanager
def _plain_worker(url: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "tests.faults.plain", "worker", "-P", "solo", "-c", "1"]
    worker = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "CONTROL_REDIS_URL": url}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


def test_plain_celery_loses_what_this_harness_kills(
    redis_url: str, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    With late acknowledgment and everything restored each second, a killed worker takes a message with it.
    """
    monkeypatch.setenv("CONTROL_REDIS_URL", redis_url)
    from tests.faults import plain  # noqa: PLC0415 - it reads the address where it is imported

    sent: list[str] = []

    def send() -> str:
        sent.append(f"token-{len(sent)}")
        plain.judge.delay(sent[-1])
        return sent[-1]

    def done() -> set[str]:
        return {token.decode() for token in redis_client.smembers(plain.DONE)}  # type: ignore[union-attr]

    def is_done(token: str) -> bool:
        return token in done()

    for _ in range(_ROUNDS):
        with _plain_worker(redis_url) as worker:
            eventually(partial(is_done, send()))
            _freeze_post_kill([worker.pid], send)
    with _plain_worker(redis_url):
        eventually(partial(is_done, send()))
        until = time.monotonic() + 4  # four times what the visibility timeout and the restoring take
        eventually(lambda: time.monotonic() > until or len(done()) == len(sent))

    assert set(sent) - done()


def test_this_product_loses_nothing_to_the_same_kills(installation: Installation) -> None:
    """
    What was posted to a frozen worker that is killed then is judged by the next one.
    """
    up = installation.up
    accepted: list[str] = []
    for _ in range(_ROUNDS):
        judged(up, event())
        accepted += _freeze_post_kill(
            family_of(pid_of(up, "realtime")), lambda: str(post(up, event()).json["event_ids"][0])
        )

    for event_id in accepted:
        verdict(up, event_id)
