"""How workers come back after Redis was away."""

import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError
from pydantic import SecretStr

from deploy import ports
from pipeline.queue import Queue, TaskName, make_celery, wake
from pipeline.settings import PipeSettings
from tests import servers


def test_attempts_to_reconnect_never_lie_far_apart() -> None:
    """
    The pauses between attempts end at two seconds, so that a worker consumes soon after an outage of any length.
    """
    settings = PipeSettings(redis_url=SecretStr(f"redis://127.0.0.1:{ports.choose()}/0"))
    connection = make_celery(settings, "test").connection_for_read()
    pauses: list[float] = []

    with suppress(OperationalError):
        connection.ensure_connection(lambda _, pause: pauses.append(pause), max_retries=2)

    assert pauses == [0.5, 1.0]
    assert type(connection).__module__ == "pipeline._transport"


def test_a_message_that_cannot_be_put_back_leaves_no_file(
    redis_server: servers.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A worker that holds a message when Redis dies drops it, for the sweep rings again, and writes nothing anywhere.
    """
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    app = make_celery(PipeSettings(redis_url=SecretStr(redis_server.url)), "test")
    wake(app, TaskName.NOTIFY, Queue.ALERTS)
    with app.connection_for_read() as connection:
        channel = connection.channel()
        assert channel.basic_get(str(Queue.ALERTS)) is not None
        redis_server.kill()
        with suppress(OperationalError):
            channel.close()
    app.close()
    redis_server.restart()

    assert list(tmp_path.iterdir()) == []
