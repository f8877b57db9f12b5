"""How workers come back after Redis was away."""

from contextlib import suppress

from kombu.exceptions import OperationalError
from pydantic import SecretStr

from deploy import ports
from pipeline.queue import make_celery
from pipeline.settings import PipeSettings


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
