"""Fixtures of the door's tests: the real app on real servers, in this process or behind a real socket."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from fastapi import FastAPI
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from pipeline.journal import Journal
from pipeline.storage import transaction
from tests.integration.ingest_api.apart import create_app
from tests.integration.ingest_api.events import eventually
from tests.integration.ingest_api.listening import Listening

OpenDoor = Callable[..., TestClient]
BASE = "http://127.0.0.1:8000"


@pytest.fixture
def settings_of_the_door(
    redis_url: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Give a function that sets the environment as the launcher does, with further settings by name."""

    def choose(**chosen: object) -> None:
        named = {"redis_url": redis_url, "database_url": database_url, "home": tmp_path, **chosen}
        for name, value in named.items():
            monkeypatch.setenv(f"SENTINEL_{name.upper()}", str(value))

    return choose


@pytest.fixture
def open_door(
    settings_of_the_door: Callable[..., None], engine: Engine, redis_client: redis.Redis
) -> Iterator[OpenDoor]:
    """Give a function that opens a door of chosen settings on empty servers."""
    del redis_client  # it empties the server
    with ExitStack() as stack:

        def make(create: Callable[[], FastAPI] = create_app, **settings: object) -> TestClient:
            settings_of_the_door(**settings)
            app = create()
            return stack.enter_context(
                TestClient(app, base_url=BASE, raise_server_exceptions=False, follow_redirects=False)
            )

        yield make
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM api_keys"))  # or the door that stays open would ask for one


@pytest.fixture(scope="module")
def default_door(
    redis_url: str, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[TestClient, Path]]:
    """Give a door with the default settings that stays open for a whole module, and its data folder."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"REDIS_URL": redis_url, "DATABASE_URL": database_url, "HOME": str(home)}.items():
            patch.setenv(f"SENTINEL_{name}", value)
        app = create_app()
    with TestClient(app, base_url=BASE, raise_server_exceptions=False, follow_redirects=False) as client:
        yield client, home


@pytest.fixture
def door(default_door: tuple[TestClient, Path], redis_client: redis.Redis) -> TestClient:
    """Give the door with the default settings on an empty journal."""
    client = default_door[0]
    eventually(lambda: client.get("/api/limits").status_code == 200)  # keys of an earlier test are forgotten
    redis_client.flushall()
    return client


@pytest.fixture
def spool(default_door: tuple[TestClient, Path]) -> Path:
    """Give the empty spool of that door."""
    folder = default_door[1] / "spool"
    shutil.rmtree(folder, ignore_errors=True)
    return folder


@pytest.fixture
def listening(
    settings_of_the_door: Callable[..., None], engine: Engine, redis_client: redis.Redis
) -> Iterator[Callable[..., Listening]]:
    """Give a function that opens a door behind a real socket."""
    del engine, redis_client
    with ExitStack() as stack:

        def make(**settings: object) -> Listening:
            settings_of_the_door(**settings)
            return stack.enter_context(Listening(create_app()))

        yield make


@pytest.fixture
def journal(redis_client: redis.Redis) -> Journal:
    """Give the journal that the door writes to."""
    return Journal(redis_client)


@pytest.fixture
def journaled(redis_client: redis.Redis) -> Callable[[], dict[str, dict[str, Any]]]:
    """Give a function that reads every entry of the journal, by its id."""

    def read() -> dict[str, dict[str, Any]]:
        found = {}
        for key in cast("list[bytes]", redis_client.keys("sentinel:entry:*")):
            fields = cast("dict[bytes, bytes]", redis_client.hgetall(key))
            found[key.decode().removeprefix("sentinel:entry:")] = {
                name.decode(): value if name == b"body" else value.decode() for name, value in fields.items()
            }
        return found

    return read
