"""Strays: rows that nobody accepted are found wherever they stand, in a time that does not grow with what is stored."""

import pytest
from redis import Redis
from sqlalchemy import Engine, text

from pipeline.chunk import AcceptedEvent, Chunk, encode
from pipeline.ids import ChunkId, EventId
from pipeline.journal import Lane, NewChunk
from pipeline.storage import locks, strays, transaction
from tests.integration.pipeline.bench import accepted, event, make_bench, one
from tests.integration.pipeline.judged_rows import forge, judged, reviewed
from workers import detect
from workers.detect import Ending


@pytest.fixture
def in_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no row stand in the newest blocks, as if PostgreSQL had filled gaps with all of them."""
    monkeypatch.setattr(strays, "_NEWEST_BLOCKS", 0)


@pytest.mark.parametrize("changed", [{"position": "7"}, {"accepted_at": "accepted_at - interval '40 days'"}])
def test_more_rows_than_the_chunk_has_are_a_surplus(
    engine: Engine, redis_client: Redis, changed: dict[str, str]
) -> None:
    """
    A row that hides behind the id of a chunk that was judged is found, too, on whatever day it says it was accepted.
    """
    judged(engine, redis_client)
    forge(engine, **changed)

    assert reviewed(engine) == 1


def test_what_the_pipe_wrote_is_no_surplus(engine: Engine, redis_client: Redis) -> None:
    """
    Chunks, erased events and events run again are accounted for.
    """
    bench = make_bench(redis_client, engine)
    chunk_id = judged(engine, redis_client, 3)
    erased = EventId(ChunkId.parse(chunk_id).root, 1)
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM events WHERE chunk = :chunk AND position = 1"), {"chunk": erased.chunk})
    failing = make_bench(redis_client, engine, fails_on=lambda _: True)
    failed = accepted(failing.journal, event())
    while detect.run(failed, failing) is not Ending.DROPPED:
        pass
    again = ChunkId.rerun(EventId(ChunkId.parse(failed).root, 0), 1)
    body = encode(Chunk([AcceptedEvent(1_700_000_000_000_000, event())]))
    bench.journal.rerun(NewChunk(str(again), Lane.REALTIME, 1, body), "api")
    assert detect.run(str(again), bench) is Ending.JUDGED

    assert reviewed(engine) == 0


def test_a_new_row_is_found_at_once_however_much_is_stored(engine: Engine, redis_client: Redis) -> None:
    """
    What was written since the last look is looked at first, wherever a pass over the rest may be.
    """
    chunks = [ChunkId.parse(judged(engine, redis_client, 100, flush=flush)).root for flush in range(1, 7)]
    assert reviewed(engine, most=150) == 0
    forge(engine, chunk=f"'{max(chunks)}'::uuid", position="777")

    assert reviewed(engine, most=150) == 1


@pytest.mark.usefixtures("in_gaps")
def test_a_partition_that_is_always_written_to_starves_no_other(engine: Engine, redis_client: Redis) -> None:
    """
    A row of another day is found although there is more to look at in today's than a look has time for.
    """
    for flush in range(1, 7):
        judged(engine, redis_client, 100, flush=flush)
    forge(engine, position="777", accepted_at="accepted_at - interval '40 days'")

    looks = 0
    while not reviewed(engine, most=100) and looks < 64:
        looks += 1
        with transaction(engine) as connection:
            connection.execute(text("UPDATE reviewed SET next = NULL, written = -1 WHERE partition LIKE 'events_2%'"))

    assert looks < 64


def test_two_never_look_at_once(engine: Engine, redis_client: Redis) -> None:
    """
    A look that finds another under way leaves it to that one, and does not wait.
    """
    judged(engine, redis_client)
    forge(engine, position="7")
    with transaction(engine) as connection:
        locks.hold(connection, "strays")
        assert reviewed(engine) == 0

    assert reviewed(engine) == 1


@pytest.mark.usefixtures("in_gaps")
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_row_anywhere_is_found_within_a_pass(engine: Engine, redis_client: Redis, place: str) -> None:
    """
    A large store is read in slices, from its first chunk to its last, whatever is written meanwhile.
    """
    chunks = [ChunkId.parse(judged(engine, redis_client, 100, flush=flush)).root for flush in range(1, 7)]
    forge(engine, chunk=f"'{min(chunks) if place == 'first' else max(chunks)}'::uuid", position="777")

    looks = 1
    while not reviewed(engine, most=150) and looks < 20:
        looks += 1

    assert looks == (1 if place == "first" else 6)


@pytest.mark.usefixtures("in_gaps")
def test_a_row_behind_a_pass_is_found_by_the_next(engine: Engine, redis_client: Redis) -> None:
    """
    What is written where a pass has been begins another one; what was not written to is not read again.
    """
    first = ChunkId.parse(judged(engine, redis_client, 100)).root
    judged(engine, redis_client, 100, flush=2)
    assert reviewed(engine, most=150) == 0
    forge(engine, chunk=f"'{first}'::uuid", position="777")
    looks = 1
    while not reviewed(engine, most=150) and looks < 20:
        looks += 1
    assert looks == 2

    while one(engine, "SELECT count(*) FROM reviewed WHERE next IS NOT NULL"):
        reviewed(engine)
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM strays"))
    assert reviewed(engine) == 0


@pytest.mark.usefixtures("in_gaps")
def test_more_rows_of_one_chunk_than_a_slice_has_do_not_stop_a_pass(engine: Engine, redis_client: Redis) -> None:
    """
    A pass goes on behind a chunk that fills a slice by itself.
    """
    judged(engine, redis_client, 100)
    last = ChunkId.parse(judged(engine, redis_client, 1, flush=2)).root
    forge(engine, chunk=f"'{last}'::uuid", position="777")

    assert [reviewed(engine, most=50) for _ in range(3)] == [0, 0, 1]
