"""Real servers for the tests: the binaries, settings and child set-up of ``sentinel up``, in a temporary folder."""

import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from deploy import database, embedded_postgres, embedded_redis, ports, process
from deploy.identity import Identity

_PATIENCE = 60.0


@dataclass
class Server:
    """One running server.

    Attributes:
        spec: how it was started, and is started again.
        url: its address for clients.
        log: where its output goes.
        answers: says whether it takes commands now.
    """

    spec: process.ProcessSpec
    url: str
    log: Path
    answers: Callable[[], bool]
    running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server without waiting for it."""
        with self.log.open("ab") as output:
            self.running = process.start(self.spec, output)

    def wait(self) -> None:
        """Return once the server takes commands; say why when it does not."""
        until = time.monotonic() + _PATIENCE
        while not self.answers():
            if self.running is None or self.running.poll() is not None or time.monotonic() > until:
                said = self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
                message = f"{self.spec.name} did not come up:\n{said}"
                raise RuntimeError(message)
            time.sleep(0.02)

    def kill(self) -> None:
        """End the server as ``kill -9`` does."""
        if self.running is not None:
            self.running.kill()
            self.running.wait()
            self.running = None

    def stop(self) -> None:
        """End the server in order."""
        if self.running is not None:
            self.running.send_signal(self.spec.stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self.running.wait(_PATIENCE)
            self.kill()

    def restart(self) -> None:
        """Start the server again, on the same port and data, and wait for it."""
        self.stop()
        self.start()
        self.wait()


def redis_server(folder: Path, *, maxmemory: str = "256mb") -> Server:
    """Prepare a Valkey of its own in a folder."""
    port, password = ports.choose(), secrets.token_hex(16)
    configuration = embedded_redis.prepare(folder / "valkey", port=port, password=password, maxmemory=maxmemory)
    return Server(
        embedded_redis.spec(embedded_redis.find(), configuration),
        embedded_redis.url(port, password),
        folder / "valkey.log",
        lambda: embedded_redis.answers(port, password),
    )


def postgres_server(folder: Path, *, who: Identity | None = None, password: str | None = None) -> Server:
    """Prepare a PostgreSQL of its own in a folder, run as ``who``, else as the best identity to be had.

    A folder that is used again needs the ``password`` that it was made with.
    """
    port, password = ports.choose(), password or secrets.token_hex(16)
    binaries, data = embedded_postgres.find(), folder / "postgres"
    who = embedded_postgres.prepare(binaries, data, password, who=who)
    url = embedded_postgres.url(port, password)
    return Server(
        embedded_postgres.spec(binaries, data, port, who), url, folder / "postgres.log", lambda: database.ensure(url)
    )


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Run a server during a block."""
    server.start()
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder for servers, and remove it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="sentinel-tests-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
