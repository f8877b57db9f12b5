"""A stack whose links to its servers can fail, one process' link at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import redis

from pipeline.storage import make_engine
from tests import servers
from tests.faults.conftest import Installation
from tests.faults.proxy import Proxy
from tests.faults.victims import parent_of
from tests.integration.deploy.running import Stack, eventually, stack


class Links:
    """The links of a stack's processes to Redis and to PostgreSQL."""

    def __init__(self, valkey: servers.Server, postgres: servers.Server) -> None:
        """Stand between the processes and two servers."""
        self._up: Stack | None = None
        self.redis = Proxy(_port(valkey.url), self._is_of)
        self.postgres = Proxy(_port(postgres.url), self._is_of)
        self.urls = {
            "SENTINEL_REDIS_URL": _through(valkey.url, self.redis),
            "SENTINEL_DATABASE_URL": _through(postgres.url, self.postgres),
        }

    @contextmanager
    def open(self) -> Iterator[None]:
        """Let everything pass during a block."""
        for proxy in (self.redis, self.postgres):
            proxy.open()
        yield
        for proxy in (self.redis, self.postgres):
            proxy.close()

    def belong_to(self, up: Stack) -> None:
        """Say whose links they are."""
        self._up = up

    def _is_of(self, pid: int, name: str) -> bool:
        running = self._up.home.running() if self._up else None
        found = {child.pid for child in (running.children if running else ()) if name in (child.name, "all")}
        return not found.isdisjoint((pid, parent_of(pid)))


@contextmanager
def linked(folder: Path, **settings: str) -> Iterator[tuple[Installation, Links]]:
    """Run a stack whose links can fail during a block; the test itself looks at the servers past them."""
    with (
        servers.running(servers.redis_server(folder)) as valkey,
        servers.running(servers.postgres_server(folder)) as postgres,
    ):
        links = Links(valkey, postgres)
        with links.open(), stack(folder / "home", **links.urls, **settings) as up:
            links.belong_to(up)
            client = redis.Redis.from_url(valkey.url, socket_timeout=5)
            engine = make_engine(postgres.url, application="sentinel-tests")
            eventually(up.is_ready)
            yield Installation(up, valkey, postgres, client, engine), links
            engine.dispose()
            client.close()


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port
    return port


def _through(url: str, proxy: Proxy) -> str:
    return url.replace(f":{_port(url)}", f":{proxy.port}")
