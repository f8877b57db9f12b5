"""A stack on servers that the tests themselves run, so that they can be away for as long as a test wants."""

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import pytest
import redis
from sqlalchemy import Engine

from pipeline.storage import make_engine
from tests import servers
from tests.faults.victims import ends_of_logs
from tests.integration.deploy.running import Stack, eventually, stack

# It needs a C compiler, which not every machine has.
collect_ignore = [] if os.environ.get("SENTINEL_FAULTS") == "long" else ["test_clock.py"]


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
def installation(whole_installation: Installation) -> Installation:
    """Give the running stack once every part of it works."""
    eventually(whole_installation.up.is_ready)
    return whole_installation


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the ends of the stack's logs with a failure, for its data folder is gone afterwards."""
    report = yield
    made = getattr(item, "funcargs", {}).get("installation")
    if report.failed and made is not None:
        report.sections.append(("logs of the stack", ends_of_logs(made.up)))
    return report
