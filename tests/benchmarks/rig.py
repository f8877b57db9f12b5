"""What is measured: a stack of its own as ``make up`` starts it, and the obvious design on the same servers."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil
import psycopg2
import psycopg2.extensions

from deploy import embedded_postgres, embedded_redis, ports
from pipeline.journal import Journal, connect
from tests.integration.deploy.running import ROOT, Stack, eventually

SERVERS = ("postgres", "valkey")
_OBVIOUS = 'timestamp text, "user" text, agent text, tool text, prompt text, response text, severity int'
_PATIENCE = 600.0


def _number(name: str, default: int) -> int:
    return int(os.environ.get(name) or default)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured; each has a variable ``BENCH_…`` of its name, and ``make bench FULL=1`` raises some.

    Attributes:
        seed: of all texts.
        rounds: how often what is compared is measured in turns.
        singles: single events posted in a round.
        round_events: events uploaded in a round, and sent in arrays.
        file_events: events of the upload beside which live events are measured.
        live_samples: live events, at least, while idle and during the upload.
        seconds: how long each test of fairness lasts.
    """

    seed: int
    rounds: int
    singles: int
    round_events: int
    file_events: int
    live_samples: int
    seconds: int

    @classmethod
    def chosen(cls, *, full: bool) -> "Sizes":
        """Read the sizes from the environment."""
        return cls(
            seed=_number("SENTINEL_SEED", 20260101),
            rounds=_number("BENCH_ROUNDS", 5),
            singles=_number("BENCH_SINGLES", 4_000),
            round_events=_number("BENCH_ROUND_EVENTS", 15_000),
            file_events=_number("BENCH_FILE_EVENTS", 1_350_000 if full else 150_000),
            live_samples=_number("BENCH_LIVE_SAMPLES", 2_000),
            seconds=_number("BENCH_SECONDS", 600 if full else 60),
        )

    def told(self) -> str:
        """Return them in words."""
        return ", ".join(
            f"{name.replace('_', ' ')} {value:,}" for name, value in asdict(self).items() if name != "seed"
        )


class Rig:
    """The running stack, seen from outside."""

    def __init__(self, folder: Path, sizes: Sizes, stack: Stack) -> None:
        """Look at a stack that is ready."""
        self.folder, self.sizes, self.stack = folder, sizes, stack
        kept = stack.home.remembered()
        assert kept.valkey_port is not None
        assert kept.postgres_port is not None
        self.redis_url = embedded_redis.url(kept.valkey_port, kept.valkey_password)
        self.database_url = embedded_postgres.url(kept.postgres_port, kept.postgres_password)
        self.journal = Journal(connect(self.redis_url))

    @property
    def port(self) -> int:
        """Where the API listens."""
        return self.stack.port

    @property
    def url(self) -> str:
        """Where the API listens, for libraries."""
        return f"http://127.0.0.1:{self.stack.port}"

    def wait_until_judged(self) -> None:
        """Return when nothing accepted waits, and every upload is closed."""
        until = time.monotonic() + _PATIENCE
        while self.journal.in_flight() or self.journal.open_uploads():
            assert time.monotonic() < until, "not everything was judged in time"
            time.sleep(0.005)

    def check_accounts(self) -> None:
        """Fail unless everything accepted was judged: a figure of events that were lost is none."""
        self.wait_until_judged()
        counts = httpx2.get(f"{self.url}/api/ledger", timeout=60).json()
        settled = counts["judged"] + counts["duplicates"]
        assert counts["accepted"] == settled, counts
        assert counts["deficit"] == counts["dead"] == 0, counts

    @contextmanager
    def database(self) -> Iterator[psycopg2.extensions.cursor]:
        """Open a connection that commits each statement."""
        connection = psycopg2.connect(self.database_url)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Return the processes by the part of the stack that they belong to."""
        running = self.stack.running()
        parts = {running.pid: "launcher", **{child.pid: child.name for child in running.children}}
        parents = {each.pid: each for each in _family(self.stack)}
        found: dict[str, list[psutil.Process]] = defaultdict(list)
        for pid, process in parents.items():
            at: int | None = pid
            while at is not None and at not in parts:
                at = _parent(at)
            found[parts.get(at or running.pid, "launcher")].append(process)
        return dict(found)

    def cpu(self) -> dict[str, float]:
        """Return the seconds of processor time that each part has used so far, with children that have ended."""
        return {name: sum(map(_cpu, found)) for name, found in self.processes().items()}

    def pss(self) -> dict[str, float]:
        """Return the memory of each part in megabytes; pages that several processes share count once in all."""
        return {name: sum(map(_pss, found)) / 1e6 for name, found in self.processes().items()}

    def resident(self) -> dict[str, float]:
        """Return the resident memory of each process but the two servers, in megabytes, by part and number."""
        return {
            f"{name} {process.pid}": _resident(process) / 1e6
            for name, found in self.processes().items()
            if name not in SERVERS
            for process in found
        }


@contextmanager
def watched_memory(rig: Rig, *, every: float = 1.0) -> Iterator[dict[str, float]]:
    """Keep the most resident memory that each process of ours was seen with during the block, in megabytes."""
    most: dict[str, float] = {}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(every):
            for name, found in rig.resident().items():
                most[name] = max(most.get(name, 0.0), found)

    thread = threading.Thread(target=watch, name="memory", daemon=True)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def growth(before: Mapping[str, float], most: Mapping[str, float]) -> tuple[str, float]:
    """Return the process that grew most, and by how many megabytes; one that is new counts from the largest before."""
    return max(
        ((name, found - before.get(name, max(before.values()))) for name, found in most.items()),
        key=lambda pair: pair[1],
    )


def start(folder: Path, *, cache: Path | None, **settings: str) -> tuple[Stack, float]:
    """Start a stack. Returns it with the seconds until it was ready. Rules compiled before are in ``cache``."""
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings["SENTINEL_RULE_CACHE"] = str(cache)
    stack = Stack(folder / "home", **settings)
    return stack, again(stack)


def again(stack: Stack) -> float:
    """Start a stack that is down. Returns the seconds until it was ready."""
    begun = time.perf_counter()
    stack.start()
    return time.perf_counter() - begun


def stop(stack: Stack) -> None:
    """End a stack as Ctrl-C does."""
    assert stack.launcher is not None
    stack.launcher.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        stack.launcher.wait(timeout=30)
    stack.end()


@contextmanager
def obvious(rig: Rig) -> Iterator[int]:
    """Run the obvious design beside the stack, warm. Yields its port."""
    port = ports.choose()
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "BENCH_REDIS_URL": rig.redis_url.rpartition("/")[0] + "/5",
        "BENCH_DATABASE_URL": rig.database_url,
        "BENCH_RULE_CACHE": rig.stack.env.get("SENTINEL_RULE_CACHE") or str(rig.stack.home.path / "cache" / "rules"),
    }
    quiet: dict[str, Any] = {"env": env, "cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    python = [sys.executable, "-m"]
    server = ["uvicorn", "tests.benchmarks.obvious:app", "--port", str(port), "--no-access-log", "--loop", "uvloop"]
    server += ["--http", "httptools", "--log-level", "warning"]
    worker = ["celery", "-A", "tests.benchmarks.obvious:celery", "worker", "-c", "2", "--loglevel", "error"]
    with rig.database() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS obvious; CREATE TABLE obvious ({_OBVIOUS})")
    started = [subprocess.Popen([*python, *command], **quiet) for command in (server, worker)]
    try:
        eventually(lambda: _answers(port))
        yield port
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(20)


def _answers(port: int) -> bool:
    try:
        return httpx2.post(f"http://127.0.0.1:{port}/bare", timeout=2).status_code == httpx2.codes.ACCEPTED
    except httpx2.HTTPError:
        return False


def _family(stack: Stack) -> list[psutil.Process]:
    assert stack.launcher is not None
    launcher = psutil.Process(stack.launcher.pid)
    return [launcher, *launcher.children(recursive=True)]


def _parent(pid: int) -> int | None:
    try:
        return psutil.Process(pid).ppid() or None
    except psutil.NoSuchProcess:
        return None


def _cpu(process: psutil.Process) -> float:
    try:
        used = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(used.user + used.system + used.children_user + used.children_system)


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
