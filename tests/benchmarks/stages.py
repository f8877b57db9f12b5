"""Where the time of an uploaded file goes: CPU microseconds for each event and stage, with no other process in between.

The functions are those of the workers, on servers of their own; each stage's share of the two servers is read from
their processes, whose clocks tick every 10 ms, so small files say little.
"""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
from sqlalchemy import Engine

from detection import Event, Scanner, Severity, Verdict, load_rule_set
from detection.cache import cached_in
from pipeline.ids import new_uuid
from pipeline.journal import UPLOAD, Journal, connect
from pipeline.records import RecordLimits
from pipeline.storage import _copy, make_engine, migrate, partitions, transaction, verdicts
from tests import servers
from tests.benchmarks.load import events
from workers import detect, split
from workers.detect import Bench
from workers.split import SplitBench

_CACHE = Path.home() / ".cache" / "mcp-sentinel-benchmark" / "stages"
OTHER = "everything else"
_ORDER = (
    "split: find and check records",
    "split: write chunks",
    "journal",
    "witness",
    "decode",
    "scan",
    "rows",
    "COPY",
    "claim",
    "commit",
    OTHER,
)


@dataclass
class Watch:
    """Adds up the CPU seconds of this process, PostgreSQL and Redis, by the innermost stage that they were spent in."""

    postgres: psutil.Process
    redis: psutil.Process
    spent: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0, 0.0]))
    stages: list[str] = field(default_factory=lambda: [OTHER])
    _last: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def start(self) -> None:
        """Begin."""
        self._last = self._now(servers=True)

    def stop(self) -> None:
        """Add what was spent since the last change of stage."""
        self._mark(servers=True)

    @contextmanager
    def stage(self, name: str, *, servers: bool = True) -> Iterator[None]:
        """Have the time of a block counted as a stage's. Reading the servers' clocks takes longer than a scan."""
        self._mark(servers=servers)
        self.stages.append(name)
        try:
            yield
        finally:
            self._mark(servers=servers)
            self.stages.pop()

    def wrapped(self, name: str, function: Callable[..., Any], *, servers: bool = True) -> Callable[..., Any]:
        """Return the function as a stage."""

        def call(*args: Any, **options: Any) -> Any:
            with self.stage(name, servers=servers):
                return function(*args, **options)

        return call

    def _mark(self, *, servers: bool) -> None:
        now = self._now(servers=servers)
        spent = self.spent[self.stages[-1]]
        for index, (new, old) in enumerate(zip(now, self._last, strict=True)):
            spent[index] += new - old
        self._last = self._now(servers=servers)  # what reading the clocks took is nobody's

    def _now(self, *, servers: bool) -> tuple[float, float, float]:
        others = (_cpu(self.postgres), _cpu(self.redis)) if servers else self._last[1:]
        return time.process_time(), others[0], others[1]


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


class _Scanner:
    def __init__(self, scanner: Scanner, watch: Watch) -> None:
        self._scan = watch.wrapped("scan", scanner.scan, servers=False)

    def scan(self, event: Event) -> Verdict:
        verdict: Verdict = self._scan(event)
        return verdict


def measure(count: int, *, seed: int) -> dict[str, list[float]]:
    """Split and judge a file of ``count`` events. Returns CPU µs an event by stage: here, PostgreSQL, Redis."""
    with tempfile.TemporaryDirectory(prefix="sentinel-stages-") as name, ExitStack() as kept:
        folder = Path(name)
        redis_server = kept.enter_context(servers.running(servers.redis_server(folder, maxmemory="1gb")))
        postgres_server = kept.enter_context(servers.running(servers.postgres_server(folder)))
        engine = make_engine(postgres_server.url, pool_size=1)
        kept.callback(engine.dispose)
        migrate.upgrade(engine)
        with transaction(engine) as connection:
            partitions.ensure(connection, today=datetime.now(UTC))
            backend = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        assert redis_server.running is not None
        watch = Watch(psutil.Process(backend), psutil.Process(redis_server.running.pid))
        journal = Journal(connect(redis_server.url))
        _split(folder, journal, engine, watch, events(count, seed=seed))
        _judge(journal, engine, watch, count)
    return {stage: [seconds / count * 1e6 for seconds in spent] for stage, spent in watch.spent.items()}


def _split(folder: Path, journal: Journal, engine: Engine, watch: Watch, found: list[dict[str, str]]) -> None:
    upload_id = str(new_uuid())
    path = folder / f"{upload_id}.json"
    path.write_text(json.dumps(found), encoding="utf-8")
    journal.open_upload(
        upload_id, time.time_ns() // 1000, path=path.name, file_name=path.name, bytes_total=path.stat().st_size
    )
    bench = SplitBench(
        journal=journal, engine=engine, spool=folder, limits=RecordLimits(1_000_000, 32, 512), chunk_events=500,
        chunk_bytes=1_000_000, bulk_bytes=1 << 40, slice_seconds=600, splitter="stages",
        ring=lambda *_: None, acknowledged={},
    )  # fmt: skip
    with ExitStack() as patched:
        for where, name, stage in ((split, "encode", "split: write chunks"), (split, "_witness", "witness"),
                                   (journal, "advance_upload", "journal")):  # fmt: skip
            patched.enter_context(mock.patch.object(where, name, watch.wrapped(stage, getattr(where, name))))
        watch.start()
        with watch.stage("split: find and check records"):
            split.run(UPLOAD + upload_id, bench)
        watch.stop()


def _judge(journal: Journal, engine: Engine, watch: Watch, count: int) -> None:
    rules = load_rule_set()
    scanner = _Scanner(Scanner(rules, remembers=True), watch)
    bench = Bench(journal, engine, scanner, rules.version, Severity.LOW, lambda: None)
    waiting = [chunk.chunk_id for chunk in journal.read()[2]]
    patches = (
        (detect, "decode", "decode", False), (verdicts, "copy", "COPY", True), (verdicts, "claim", "claim", True),
        (_copy, "text_of", "rows", False), (engine.dialect, "do_commit", "commit", True),
        (journal, "_run", "journal", True),
    )  # fmt: skip
    with ExitStack() as patched:
        for where, name, stage, reads in patches:
            call = watch.wrapped(stage, getattr(where, name), servers=reads)
            patched.enter_context(mock.patch.object(where, name, call))
        watch.start()
        for chunk_id in waiting:
            assert detect.run(chunk_id, bench) is detect.Ending.JUDGED
        watch.stop()
    with transaction(engine) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM events").scalar_one() == count


def table(spent: dict[str, list[float]]) -> list[str]:
    """Return the lines of the table."""
    lines = ["| CPU µs an event | worker | PostgreSQL | Redis |", "|---|---|---|---|"]
    total = [sum(column) for column in zip(*spent.values(), strict=True)]
    for stage in (*_ORDER, "all"):
        figures = total if stage == "all" else spent.get(stage, [0.0, 0.0, 0.0])
        lines.append(f"| {stage} | {' | '.join(f'{figure:.1f}' for figure in figures)} |")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.stages", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000, help="events in the file (%(default)s)")
    parser.add_argument("--seed", type=int, default=20260101)
    parser.add_argument("--cache", type=Path, default=_CACHE)
    options = parser.parse_args(arguments)
    options.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    with cached_in(options.cache):
        print("\n".join(table(measure(options.events, seed=options.seed))))


if __name__ == "__main__":
    main()
