"""A small stack for the supervisor's tests: real servers, and a process that forks, as a Celery worker does.

Run as a script with a data folder, it is a launcher in the foreground.
"""

import asyncio
import signal
import sys
from pathlib import Path

from deploy import embedded_postgres, embedded_redis, ports
from deploy.output import Console
from deploy.process import ProcessSpec
from deploy.state import Home
from deploy.supervise import Supervisor

PARENT = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
while True:
    time.sleep(60)
"""


def forking(name: str) -> ProcessSpec:
    """Return a process that has a child, and does not heed SIGTERM."""
    return ProcessSpec(name=name, argv=(sys.executable, "-c", PARENT), env={}, cwd=Path.cwd())


def servers(home: Home) -> list[ProcessSpec]:
    """Return how the servers of a data folder are started."""
    binaries = embedded_postgres.find()
    who = embedded_postgres.prepare(binaries, home.path / "postgres", "secret")
    configuration = embedded_redis.prepare(
        home.path / "valkey", port=ports.choose(), password="secret", maxmemory="64mb"
    )
    return [
        embedded_redis.spec(embedded_redis.find(), configuration),
        embedded_postgres.spec(binaries, home.path / "postgres", ports.choose(), who),
    ]


async def _serve(home: Home, lock: int) -> None:
    specs = servers(home)
    supervisor = Supervisor(home, lock, Console(), lambda: None)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    supervisor.add(specs, stage=0)
    supervisor.add([forking("worker")], stage=1)
    supervisor.was_ready = True
    await stop.wait()
    await supervisor.stop({0: 3.0, 1: 0.5})


if __name__ == "__main__":
    chosen = Home(Path(sys.argv[1]))
    chosen.make()
    taken = chosen.lock()
    if taken is None:
        sys.exit("already running")
    asyncio.run(_serve(chosen, taken))
    chosen.unlock()
