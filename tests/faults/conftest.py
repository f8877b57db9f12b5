"""A stack on servers that the tests themselves run, so that they can be away for as long as a test wants."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import redis
from sqlalchemy import Engine

from pipeline.storage import make_engine
from tests import servers
from tests.integration.deploy.running import Stack, eventually, stack


@dataclass(frozen=True)
class Installation:
    """A running stack, and the servers that it uses."""

    up: Stack
    valkey: servers.Server
    postgres: servers.Server
    redis: redis.Redis
    engine: Engine


@pytest.fixture(scope="session")
def whole_installation() -> Iterator[Installation]:
    """Run a stack on servers of its own."""
    with (
        servers.temporary_folder() as folder,
        servers.running(servers.redis_server(folder)) as valkey,
        servers.running(servers.postgres_server(folder)) as postgres,
        stack(folder / "home", SENTINEL_REDIS_URL=valkey.url, SENTINEL_DATABASE_URL=postgres.url) as up,
    ):
        client = redis.Redis.from_url(valkey.url, socket_timeout=5)
        engine = make_engine(postgres.url, application="sentinel-tests")
        yield Installation(up, valkey, postgres, client, engine)
        engine.dispose()
        client.close()


@pytest.fixture
def installation(whole_installation: Installation) -> Iterator[Installation]:
    """Give the running stack once every part of it works."""
    eventually(whole_installation.up.is_ready)
    with logs_shown_on_failure(whole_installation.up):
        yield whole_installation
