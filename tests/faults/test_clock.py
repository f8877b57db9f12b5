"""The machine's clock jumps by an hour, forward and back, under the whole stack: nothing is lost, and nothing waits.

A library that is loaded before all others stands between every process, both servers included, and the clock. It needs
a C compiler (``cc``), so this is tested with ``SENTINEL_FAULTS=long`` only.
"""

import mmap
import shutil
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import redis
from sqlalchemy import text

from pipeline.storage import make_engine, transaction
from tests import servers
from tests.acceptance.calling import balanced_ledger, event, post
from tests.faults import accounts
from tests.faults.conftest import Installation
from tests.faults.test_outages import bulk, consumes_on_every_queue
from tests.integration.alerting.listener import Listener
from tests.integration.deploy.running import eventually, stack

_HOURS = (1, 0, -1, 0)  # ahead of the real clock, one after the other
_WITHIN = 15.0
_SOURCE = """
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long long *ahead;

__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("CLOCK_AHEAD"), O_RDONLY);
    ahead = mmap(0, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
    close(file);
}
int clock_gettime(clockid_t id, struct timespec *at) {
    long done = syscall(SYS_clock_gettime, id, at);
    if (done == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) at->tv_sec += *ahead;
    return done;
}
int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""


class Clock:
    """The clock of every process that is started with its environment."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)  # PostgreSQL may run as somebody else
        library, ahead, source = folder / "clock.so", folder / "ahead", folder / "clock.c"
        source.write_text(_SOURCE, encoding="utf-8")
        subprocess.run([shutil.which("cc") or "cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
        ahead.write_bytes(bytes(8))
        with ahead.open("r+b") as file:
            self._ahead = mmap.mmap(file.fileno(), 8)
        self.env = {"LD_PRELOAD": str(library), "CLOCK_AHEAD": str(ahead)}

    def set(self, *, hours: int) -> None:
        """Let it be so many hours ahead of the real one from now on."""
        self._ahead[:] = struct.pack("q", hours * 3600)

    def of(self, server: servers.Server) -> servers.Server:
        """Have a server look at this clock."""
        return replace(server, spec=replace(server.spec, env={**server.spec.env, **self.env}))


@contextmanager
def _installed(folder: Path, clock: Clock, listener: Listener) -> Iterator[Installation]:
    settings = {"SENTINEL_ALERT_WEBHOOK_URL": listener.url, "SENTINEL_ALERT_ALLOW_PRIVATE": "1", **clock.env}
    with (
        servers.running(clock.of(servers.redis_server(folder))) as valkey,
        servers.running(clock.of(servers.postgres_server(folder))) as postgres,
        stack(folder / "home", SENTINEL_REDIS_URL=valkey.url, SENTINEL_DATABASE_URL=postgres.url, **settings) as up,
    ):
        client = redis.Redis.from_url(valkey.url, socket_timeout=5)
        engine = make_engine(postgres.url, application="sentinel-tests")
        eventually(up.is_ready)
        yield Installation(up, valkey, postgres, client, engine)
        engine.dispose()
        client.close()


def test_a_clock_that_jumps_loses_and_delays_nothing() -> None:
    """
    What waits or is being judged when the clock jumps is judged once, each worker goes on, alerts are told, and the
    ledger balances.
    """
    listener = Listener()
    listener.start()
    acknowledged: list[str] = []
    with servers.temporary_folder() as folder:
        clock = Clock(folder)
        with _installed(folder, clock, listener) as on:
            for hours in _HOURS:
                eventually(lambda: accounts.untold(on.engine) == 0, within=_WITHIN)
                for body in (bulk(), [event() for _ in range(50)]):
                    acknowledged += post(on.up, body).json["event_ids"]
                clock.set(hours=hours)
                on.redis.delete("sentinel:pulses")
                assert abs(_ahead(on) - hours * 3600) < 60

                consumes_on_every_queue(on)
                eventually(lambda: on.redis.zcard("sentinel:open:bulk") == 0, within=_WITHIN)
                eventually(lambda: accounts.untold(on.engine) == 0, within=_WITHIN)
                stored = _stored(on)
                assert set(acknowledged) - stored.keys() == set()
                assert max(stored.values()) == 1
                assert balanced_ledger(on.up)["surplus"] == 0
            found = accounts.recorded(on.engine)
            accounts.alerts_agree(found, listener.posts)
            assert found.dead_letters == 0
    listener.stop()


def _ahead(on: Installation) -> float:
    with transaction(on.engine) as connection:
        seconds = connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
    assert abs(float(seconds) - on.redis.time()[0]) < 60
    return float(seconds) - time.time()


def _stored(on: Installation) -> Counter[str]:
    with transaction(on.engine) as connection:
        rows = connection.execute(text("SELECT chunk, position FROM events")).all()
    return Counter(f"{chunk.hex}.{position}" for chunk, position in rows)
