"""What tests of the watch and of strays have in common: chunks that were judged, and rows that nobody accepted."""

from redis import Redis
from sqlalchemy import Engine, text

from pipeline.storage import strays, transaction
from tests.integration.pipeline.bench import accepted, event, make_bench, rows
from workers import detect
from workers.detect import Ending

# PostgreSQL counts what a session writes a second later; a session that goes on to write, after ten.
_COUNT_NOW = text("SELECT pg_stat_force_next_flush()")


def judged(engine: Engine, redis: Redis, count: int = 2, *, flush: int = 1) -> str:
    """Return the id of a chunk of so many events that was judged."""
    bench = make_bench(redis, engine)
    chunk_id = accepted(bench.journal, *(event() for _ in range(count)), acceptor="judged", flush=flush)
    assert detect.run(chunk_id, bench) is Ending.JUDGED
    return chunk_id


def forge(engine: Engine, **changed: str) -> None:
    """Store a copy of some event's row, with other values in the columns named, past the pipe."""
    columns = [str(name) for (name,) in rows(
        engine, "SELECT column_name FROM information_schema.columns WHERE table_name = 'events'")]  # fmt: skip
    values = [changed.get(name, f'"{name}"') for name in columns]
    quoted = ", ".join(f'"{name}"' for name in columns)
    with transaction(engine) as connection:
        connection.execute(text(f"INSERT INTO events ({quoted}) SELECT {', '.join(values)} FROM events LIMIT 1"))
        connection.execute(_COUNT_NOW)


def reviewed(engine: Engine, *, most: int | None = None) -> int:
    """Return how many strays are known after a look for a time that is enough, or at one slice of so many rows."""
    if most is None:
        strays.review(engine, seconds=20)
    else:
        strays.review(engine, seconds=0, rows=most)
    with transaction(engine) as connection:
        return strays.count(connection)
