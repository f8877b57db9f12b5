"""The journal when the clock of its Redis is set back: what was stamped before lies in the future."""

from typing import cast

from redis import Redis
from sqlalchemy import Engine, text

from pipeline.journal import EMPTY, Journal, Lane, OpenChunk
from pipeline.storage import ledger, transaction
from tests.integration.pipeline.bench import accepted, event, make_bench, one
from workers import detect
from workers.detect import Ending

_HOUR = 3_600_000_000


def _set_back(redis: Redis) -> None:
    """Have every stamp lie an hour ahead, as it does once the clock was set back by an hour."""
    for name in ("rung", "leased", "open"):
        for member in cast("list[bytes]", redis.zrange(f"sentinel:{name}:{Lane.REALTIME}", 0, -1)):
            redis.zincrby(f"sentinel:{name}:{Lane.REALTIME}", _HOUR, member)
    for key in redis.keys("sentinel:entry:*"):
        for field in ("at", "ring", "lease"):
            if redis.hexists(key, field):
                redis.hincrby(key, field, _HOUR)


def test_no_chunk_waits_for_a_clock_that_was_set_back(engine: Engine, redis_client: Redis) -> None:
    """
    A chunk whose doorbell was lost and one whose worker died are rung once, at the next sweep, and judged.
    """
    bench = make_bench(redis_client, engine)
    waiting, held = (accepted(bench.journal, event(), flush=flush) for flush in (1, 2))
    assert bench.journal.lease(held, "dead") is not None
    redis_client.delete(str(Lane.REALTIME))
    _set_back(redis_client)

    rung = bench.journal.due(Lane.REALTIME, EMPTY, limit=100)[1]
    assert sorted(rung) == sorted([waiting, held])
    assert bench.journal.due(Lane.REALTIME, EMPTY, limit=100)[1] == []
    assert [detect.run(chunk, bench) for chunk in rung] == [Ending.JUDGED] * 2
    assert one(engine, "SELECT count(*) FROM events") == 2


def test_the_ledger_balances_while_stamps_lie_ahead_of_the_clock(engine: Engine, redis_client: Redis) -> None:
    """
    What is settled counts, whatever its stamp says, and also in an hour that was summed up while the clock was ahead.
    """
    bench = make_bench(redis_client, engine)
    with transaction(engine) as connection:
        connection.execute(text("INSERT INTO ledger_hours VALUES (date_trunc('hour', now()), 0, 0, 0)"))
    chunks = [accepted(bench.journal, event(), flush=flush) for flush in (1, 2)]
    _set_back(redis_client)
    detect.run(chunks[0], bench)

    found = ledger.read(engine, bench.journal)
    assert (found.accepted, found.judged, found.in_flight, found.deficit, found.surplus) == (2, 1, 1, 0, 0)


def test_the_witness_finds_what_was_lost_of_stamps_that_lie_ahead_of_the_clock(
    engine: Engine, redis_client: Redis
) -> None:
    """
    An acceptor's report from before the clock was set back is compared at once, not when the clock has caught up.
    """
    journal = Journal(redis_client)
    with transaction(engine) as connection:
        ledger.witness(connection, "api-1", {(journal.now() + _HOUR) // 1_000_000: 3})

    assert ledger.read(engine, journal).deficit == 3


def test_what_is_settled_during_a_look_counts_also_with_a_stamp_ahead(engine: Engine, redis_client: Redis) -> None:
    """
    A chunk that was open when the journal was read, and is settled when PostgreSQL is asked, is missed in neither.
    """
    bench = make_bench(redis_client, engine)
    chunk = accepted(bench.journal, event(), flush=1)
    _set_back(redis_client)

    class Overtaken(Journal):
        def read(self) -> tuple[int, int, list[OpenChunk]]:
            before = super().read()
            detect.run(chunk, bench)
            return before

    found = ledger.read(engine, Overtaken(redis_client))
    assert (found.accepted, found.judged, found.in_flight, found.deficit, found.surplus) == (1, 1, 0, 0, 0)


def test_a_second_that_was_compared_too_early_is_compared_again(engine: Engine) -> None:
    """
    What an acceptor reports of a second after it was found to be whole is missed, if it was not settled.
    """
    with transaction(engine) as connection:
        ledger.witness(connection, "acceptor", {1_000: 0})
        ledger.reconcile(connection, now=2_000)
        ledger.witness(connection, "acceptor", {1_000: 3})
        ledger.reconcile(connection, now=2_000)

    assert one(engine, "SELECT count(*) FROM witness WHERE NOT reconciled") == 1
