"""How long ``/api/verdicts`` takes over many events, for every pair of filters; and what storing costs when many are.

``python -m tests.benchmarks.queries``; ``--folder`` keeps the filled database for the next run.
"""

import argparse
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from detection import Event, Severity, Verdict
from pipeline.chunk import AcceptedEvent, Chunk
from pipeline.ids import BatchId, ChunkId, new_uuid
from pipeline.storage import make_engine, migrate, partitions, reading, transaction
from pipeline.storage._rows import Judged, Origin
from pipeline.storage.selecting import Place, Term, Value
from pipeline.storage.verdicts import record
from tests import servers
from tests.benchmarks import pages

DAYS = 7
_PAGE = 50
_BLOCK = 250_000
_SHOWN = 20
_CHUNKS = 60
_FILL = Path(__file__).with_suffix(".sql")


def main() -> None:
    """Fill a database, run every pair, and print how long they took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--folder", type=Path, help="a folder to keep the database in")
    parser.add_argument("--seed", type=int, default=20260101)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--only", default="", help="a filter's name that one of the pair must have")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sentinel-queries-") as made:
        folder = chosen.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        with servers.running(servers.postgres_server(folder, password="benchmark")) as server:
            engine = make_engine(server.url)
            migrate.upgrade(engine)
            empty = store(engine, chosen.seed) if fill(engine, 0) else 0.0
            fill(engine, chosen.events)
            full = store(engine, chosen.seed)
            print(f"storing takes {full:.1f} µs of PostgreSQL's processor time for an event; {empty:.1f} while empty")
            run(engine, seed=chosen.seed, queries=chosen.queries, only=chosen.only)
            pages.run(engine, folder)
            engine.dispose()


def store(engine: Engine, seed: int) -> float:
    """Record chunks of 1,000 events as the workers do. Returns the microseconds PostgreSQL worked on each event."""
    chance, now, worked = random.Random(seed), datetime.now(UTC), 0.0
    for _ in range(_CHUNKS):
        events = [
            AcceptedEvent(
                int(now.timestamp() * 1e6),
                Event(
                    timestamp="2024-01-15T14:30:00Z",
                    user=f"user-{chance.randrange(2000)}",
                    agent=f"agent-{chance.randrange(20)}",
                    tool=f"tool-{chance.randrange(30)}",
                    prompt=chance.randbytes(400).hex(),
                    response=chance.randbytes(300).hex(),
                    session_id=f"session-{chance.randrange(50_000)}",
                ),
            )
            for _ in range(1000)
        ]
        judged = Judged(
            Origin(ChunkId(new_uuid()), "bulk", now, "benchmark"),
            Chunk(events),
            [Verdict.of((), "benchmark")] * len(events),
        )
        with transaction(engine) as connection:
            server = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            before = _worked(server)
            record(connection, [judged], rule_set="benchmark", send_from=Severity.LOW)
        worked += _worked(server) - before
    return worked / _CHUNKS / 1000 * 1e6


def fill(engine: Engine, events: int) -> bool:
    """Store that many events: alternating blocks of live ones and of uploads. Returns whether there were none."""
    with transaction(engine) as connection:
        if connection.execute(text("SELECT EXISTS (SELECT FROM findings)")).scalar():
            return False
        start = datetime.now(UTC) - timedelta(days=DAYS)
        for day in range(DAYS + 1):
            partitions.ensure(connection, today=start + timedelta(days=day))
    if not events:
        return True
    step = timedelta(days=DAYS) / events
    for first in range(0, events, _BLOCK):
        begun = time.monotonic()
        with transaction(engine) as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            span = {
                "first": first,
                "last": min(first + _BLOCK, events) - 1,
                "start": start,
                "step": step,
                "block": _BLOCK,
            }
            for statement in _FILL.read_text(encoding="utf-8").split(";\n"):
                if statement.strip():
                    connection.execute(text(statement), span)
        print(f"{first + _BLOCK:,} events stored, {_BLOCK / (time.monotonic() - begun):,.0f}/s", flush=True)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM (ANALYZE) events, findings, chunks"))
    return True


def run(engine: Engine, *, seed: int, queries: int, only: str) -> None:
    """Ask for the first page and for a deep one of pairs of terms, and print what they took in milliseconds."""
    with reading.snapshot(engine) as connection:
        singles = list(_terms(connection))
        deep = _place(connection, "ORDER BY received_at OFFSET 1000 LIMIT 1")
        middle = _place(connection, "WHERE accepted_at > now() - interval '3 days' ORDER BY received_at LIMIT 1")
    pairs = [pair for pair in itertools.combinations(singles, 2) if pair[0].key != pair[1].key or pair[0].negated]
    pairs = [pair for pair in pairs if not only or only in {pair[0].key, pair[1].key}]
    asked = [
        (pair, name, place) for pair in pairs for name, place in (("first", None), ("middle", middle), ("last", deep))
    ]
    chosen = random.Random(seed).sample(asked, min(queries, len(asked)))
    took = sorted(((*_cost(engine, pair, place), pair, name) for pair, name, place in chosen), key=lambda one: -one[0])
    print(f"{len(took)} of {len(asked)} questions, seed {seed}")
    _tell("by the clock", [seconds for seconds, _, _, _ in took])
    _tell("processor time of PostgreSQL", [worked for _, worked, _, _ in took])
    for seconds, worked, pair, name in took[:_SHOWN]:
        print(f"{seconds * 1000:8.1f} {worked * 1000:8.1f} ms  {name:6}  {' & '.join(map(_named, pair))}")


def _tell(what: str, seconds: Sequence[float]) -> None:
    times = sorted((one * 1000 for one in seconds), reverse=True)
    median, late = statistics.median(times), times[len(times) // 20]
    print(f"{what}: median {median:.1f} ms, 95th percentile {late:.1f} ms, worst {times[0]:.1f} ms")


def _cost(engine: Engine, terms: Sequence[Term], after: Place | None) -> tuple[float, float]:
    """Return the seconds that a page took, and those for which PostgreSQL worked on it."""
    with reading.snapshot(engine) as connection:
        server = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        begun, worked = time.perf_counter(), _worked(server)
        with suppress(DBAPIError):  # given up; it counts with the time after which it was
            reading.page(connection, terms, limit=_PAGE, after=after)
        return time.perf_counter() - begun, _worked(server) - worked


def _worked(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9


def _place(connection: Connection, where: str) -> Place:
    return Place(*connection.execute(text(f"SELECT received_at, chunk, position FROM events {where}")).one())


def _terms(connection: Connection) -> Iterator[Term]:
    """Yield terms, and what they deny: that hold for nothing, for the oldest event, for few, for nearly all."""
    oldest, newest = connection.execute(text("SELECT min(received_at), max(received_at) FROM events")).one()
    live = connection.execute(
        text("SELECT chunk FROM events WHERE lane = 'realtime' ORDER BY received_at LIMIT 1")
    ).scalar_one()
    values: dict[str, list[Value]] = {
        "user": ["nobody", "first", "veteran", "user-0", "user-1500"],
        "agent": ["nobody", "first", "agent-3"],
        "tool": ["none", "first", "search", "tool-7"],
        "session_id": ["none", "first", "session-live-150000", "session-123"],
        "rule": ["none", "rule-first", "rule-0", "rule-50"],
        "upload_id": [
            UUID(int=7),
            *(UUID(md5(f"upload-{name}".encode(), usedforsecurity=False).hexdigest()) for name in ("first", 1, 19)),
        ],
        "batch_id": [BatchId(live, 0, 4), BatchId(UUID(int=7), 0, 4)],
        "min_severity": [0, 2, 4],
        "outcome": ["flagged"],
        "from": [newest, oldest, oldest + (newest - oldest) / 2],
        "to": [oldest, newest, oldest + (newest - oldest) / 2, oldest + timedelta(seconds=1)],
    }
    for key, choice in values.items():
        for value in choice:
            yield Term(key, (value,))
            yield Term(key, (value,), negated=True)


def _named(term: Term) -> str:
    return f"{'!' if term.negated else ''}{term.key}={term.values[0]}"


if __name__ == "__main__":
    main()
