"""Fixtures that give every test real servers: one Valkey and one PostgreSQL for the run, emptied for each test."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine, text

from detection.cache import cached_in
from pipeline.storage import make_engine, migrate, partitions, transaction
from tests import servers

_TABLES = text(
    "SELECT string_agg(format('%I', relname), ', ') FROM pg_class "
    "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition "
    "AND relname <> 'alembic_version'"
)


def pytest_configure(config: pytest.Config) -> None:
    """Compile rules once for all tests and the processes that they start: it takes longer than most of them."""
    folder = config.cache.mkdir("rules") if config.cache is not None else None
    if folder is not None:
        os.environ.setdefault("SENTINEL_RULE_CACHE", str(folder))
        kept = ExitStack()
        kept.enter_context(cached_in(folder))
        config.add_cleanup(kept.close)


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Give the folder in which this run's servers keep their data."""
    with servers.temporary_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def redis_server(servers_folder: Path) -> Iterator[servers.Server]:
    """Give the running Valkey, for tests that kill or stop it; they leave it running."""
    with servers.running(servers.redis_server(servers_folder)) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server(servers_folder: Path) -> Iterator[servers.Server]:
    """Give the running PostgreSQL, for tests that kill or stop it; they leave it running."""
    with servers.running(servers.postgres_server(servers_folder)) as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(redis_server: servers.Server) -> str:
    """Give the address of a real Valkey."""
    return redis_server.url


@pytest.fixture(scope="session")
def database_url(postgres_server: servers.Server) -> str:
    """Give the address of a real PostgreSQL that has our schema."""
    engine = make_engine(postgres_server.url)
    migrate.upgrade(engine)
    with transaction(engine) as connection:
        partitions.ensure(connection, today=datetime.now(UTC))
    engine.dispose()
    return postgres_server.url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Give an engine on empty tables."""
    made = make_engine(database_url, application="sentinel-tests")
    with transaction(made) as connection:
        # What an earlier test left open would hold the tables for ever.
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'"
            )
        )
        connection.execute(text(f"TRUNCATE {connection.execute(_TABLES).scalar_one()} RESTART IDENTITY"))
    yield made
    made.dispose()


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """Give a client of an empty Valkey."""
    client = redis.Redis.from_url(redis_url, socket_timeout=5, socket_connect_timeout=5)
    client.flushall()
    yield client
    client.close()
