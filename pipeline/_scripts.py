"""How the journal speaks to Redis: its client, the errors it may meet, and its scripts."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.resources import files

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError, RedisError
from redis.retry import Retry

from pipeline.errors import JournalFull, JournalUnavailable


def connect(url: str, *, timeout: float = 5.0) -> Redis:
    """Make a client for ``url`` that never waits longer than ``timeout`` seconds and never repeats a command by itself.

    A repeat is the journal's decision: only it knows which scripts may be sent twice.
    """
    return Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=min(timeout, 2.0),
        socket_keepalive=True,
        health_check_interval=0,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the client raises into what the journal promises to raise."""
    try:
        yield
    except OutOfMemoryError as error:
        raise JournalFull from error
    except RedisError as error:
        if str(error).startswith("OOM") or "OOM command" in str(error):
            raise JournalFull from error
        raise JournalUnavailable(str(error)) from error


def sources(under_memory_pressure: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each script's name and text; those named may run when Redis is at its memory bound."""
    folder = files("pipeline") / "lua"
    prelude = (folder / "_prelude.lua").read_text()
    for file in folder.iterdir():
        name = file.name.removesuffix(".lua")
        if name.startswith("_") or name == file.name:
            continue
        flags = "#!lua flags=allow-oom\n" if name in under_memory_pressure else "#!lua\n"
        yield name, flags + prelude + file.read_text()
