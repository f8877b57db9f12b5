"""What is measured without the stack: where a file's time goes, and storing and reading when many events are there."""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from sqlalchemy import Engine, text

from detection import SHIPPED_PACKS, Event, Scanner, Severity, Verdict, load_rule_set
from pipeline.chunk import AcceptedEvent, Chunk
from pipeline.ids import ChunkId, new_uuid
from pipeline.storage import make_engine, migrate, partitions, transaction, verdicts
from pipeline.storage.verdicts import Judged, Origin
from tests import servers
from tests.benchmarks.load import events
from tests.benchmarks.pages import servers_worked
from tests.benchmarks.queries import fill
from tests.benchmarks.rig import Sizes
from tests.benchmarks.table import Table, at_least, at_most, ratio, spread

STORED = 2_000_000
READ = 5_000_000
_CHUNKS, _CHUNK_EVENTS = 20, 500
_LOG_FILES = 24
_LATE = re.compile(r"^by the clock: median ([\d.]+) ms, 95th percentile ([\d.]+) ms, worst ([\d.]+) ms$", re.MULTILINE)

_COSTS = re.compile(r"^storing takes ([\d.]+) µs .*; ([\d.]+) while empty$", re.MULTILINE)


def stages(_: Sizes, table: Table) -> None:
    """Say where the CPU time of an uploaded file goes."""
    table.note("CPU µs per event of an uploaded file, by stage, with no other process in between")
    for line in _said("stages").splitlines():
        table.note(line)


def reading(sizes: Sizes, table: Table) -> None:
    """Ask for pages of verdicts by every pair of filters, over many events."""
    said = _said("queries", "--events", str(READ), "--seed", str(sizes.seed))
    found = _LATE.search(said)
    assert found is not None, said
    median, late, worst = map(float, found.groups())
    what = f"/api/verdicts with two filters, {READ:,} events stored, 95th percentile"
    table.held(what, f"median {median:.1f} ms, worst {worst:.1f} ms", "", late, at_most(100, "ms"))
    if costs := _COSTS.search(said):
        now, empty = map(float, costs.groups())
        what = f"PostgreSQL's CPU µs to store an event, empty over {READ:,} stored"
        table.held(what, f"{now} µs", f"empty: {empty} µs", empty / now, at_least(0.9))


def storing(sizes: Sizes, table: Table) -> None:
    """Record chunks in turns: on a server that holds nothing, and on one that holds many events."""
    with tempfile.TemporaryDirectory(prefix="sentinel-storing-") as made, ExitStack() as kept:
        engines = []
        for name in ("empty", "filled"):
            folder = Path(made) / name
            folder.mkdir()
            server = kept.enter_context(servers.running(servers.postgres_server(folder)))
            engine = make_engine(server.url, pool_size=1)
            kept.callback(engine.dispose)
            migrate.upgrade(engine)
            with transaction(engine) as connection:
                partitions.ensure(connection, today=datetime.now(UTC))
            engines.append(engine)
        empty, filled = engines
        fill(filled, STORED)
        for engine in engines:
            _make_alike(engine)
        chunk = Chunk(
            [
                AcceptedEvent(time.time_ns() // 1000, msgspec.convert(event, Event))
                for event in events(_CHUNK_EVENTS, seed=1)
            ]
        )
        rules = load_rule_set(SHIPPED_PACKS / "baseline.yaml")
        found = [Scanner(rules).scan(item.event) for item in chunk.events]
        by_clock: dict[Engine, list[float]] = {empty: [], filled: []}
        by_work: dict[Engine, list[float]] = {empty: [], filled: []}
        for number in range(sizes.rounds + 1):
            for engine in engines if number % 2 else reversed(engines):
                took, worked = _record(engine, chunk, found, rules.version)
                if number:  # the first round warms up
                    by_clock[engine].append(_CHUNKS * _CHUNK_EVENTS / took)
                    by_work[engine].append(_CHUNKS * _CHUNK_EVENTS / worked)
    stored = f"events recorded with {STORED:,} stored, over none stored"
    for what, unit, rates in (
        (stored, "events/s", by_clock),
        ("the same, of worker and PostgreSQL", "events a second of processor time", by_work),
    ):
        figures = f"{spread(rates[filled])} {unit}", f"empty: {spread(rates[empty])}"
        table.held(what, *figures, ratio(rates[filled], rates[empty]), at_least(0.9))


def _make_alike(engine: Engine) -> None:
    """Leave nothing to be written later, and log files at hand: the server that was filled had made its own by then."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for _ in range(_LOG_FILES):
            connection.execute(text("SELECT pg_logical_emit_message(false, 'benchmark', ''), pg_switch_wal()"))
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("CHECKPOINT"))


def _record(engine: Engine, chunk: Chunk, found: Sequence[Verdict], rule_set: str) -> tuple[float, float]:
    """Return the seconds that it took, and those of processor time, whatever else the machine does meanwhile."""
    begun, worked = time.perf_counter(), time.process_time() + servers_worked()
    for _ in range(_CHUNKS):
        origin = Origin(ChunkId.parse(new_uuid().hex), "bulk", datetime.now(UTC), "benchmark")
        with transaction(engine) as connection:
            verdicts.record(connection, [Judged(origin, chunk, found)], rule_set=rule_set, send_from=Severity.LOW)
    return time.perf_counter() - begun, time.process_time() + servers_worked() - worked


def _said(module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
