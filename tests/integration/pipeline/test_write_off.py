"""Writing a loss off: somebody knows why, the ledger balances again, and what was lost stays in the count."""

from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine, text
from sqlalchemy.event import listens_for

from pipeline import watch
from pipeline.journal import Journal
from pipeline.storage import incidents, ledger, transaction
from tests.integration.pipeline.bench import accepted, event, make_bench, rows
from workers import detect

Loss = Callable[[Engine, Redis], None]


def _forgotten(engine: Engine, redis: Redis) -> None:
    """Lose three events of the journal together with Redis' own count of them."""
    second = Journal(redis).now() // 1_000_000 - 60
    with transaction(engine) as connection:
        ledger.witness(connection, "api-1", {second: 2, second + 1: 1})


def _deleted(_: Engine, redis: Redis) -> None:
    """Lose three events that Redis has counted."""
    redis.delete(f"sentinel:entry:{accepted(Journal(redis), event(), event(), event(), flush=2)}")


def _told(engine: Engine, redis: Redis) -> None:
    for _ in range(2):
        watch.run(redis, engine, Journal(redis), canary_seconds=0)
        with transaction(engine) as connection:
            connection.execute(text("UPDATE incidents SET opened_at = opened_at - interval '9 seconds'"))


def _lasting(engine: Engine) -> int:
    with transaction(engine) as connection:
        connection.execute(text("UPDATE incidents SET seen_at = seen_at - interval '13 seconds'"))
        return sum(incident.ended_at is None for incident in incidents.listing(connection, limit=9))


@pytest.mark.parametrize("lose", [_forgotten, _deleted])
def test_a_loss_that_is_understood_is_written_off(engine: Engine, redis_client: Redis, lose: Loss) -> None:
    """
    The ledger balances with what was lost in it, for ever: also when Redis forgets all that it ever counted.
    """
    bench = make_bench(redis_client, engine)
    detect.run(accepted(bench.journal, event(), event()), bench)
    ledger.remember(engine, bench.journal)
    lose(engine, redis_client)
    _told(engine, redis_client)
    assert ledger.read(engine, bench.journal).deficit == 3

    done = ledger.write_off(engine, bench.journal, events=3, reason="disk of 3 May", actor="key 1")

    found = ledger.read(engine, bench.journal)
    assert (done, found.accepted, found.judged, found.written_off) == (3, 5, 2, 3)
    assert (found.deficit, found.surplus) == (0, 0)
    assert rows(engine, "SELECT actor, target, detail FROM audit") == [("key 1", "3 events", "disk of 3 May")]
    watch.run(redis_client, engine, bench.journal, canary_seconds=0)
    assert _lasting(engine) == 1
    watch.run(redis_client, engine, bench.journal, canary_seconds=0)
    assert _lasting(engine) == 0

    redis_client.flushall()
    ledger.remember(engine, bench.journal)
    assert ledger.read(engine, bench.journal) == found
    with transaction(engine) as connection:
        ledger.reconcile(connection, now=bench.journal.now() // 1_000_000 + 60)
    assert rows(engine, "SELECT 1 FROM witness WHERE NOT reconciled") == []


def test_a_loss_of_many_cells_is_one_statement_once(engine: Engine, redis_client: Redis) -> None:
    """
    However many seconds were lost, PostgreSQL is asked to note them once, and not again at each look.
    """
    second = Journal(redis_client).now() // 1_000_000 - 400
    with transaction(engine) as connection:
        ledger.witness(connection, "api-1", {second + offset: 1 for offset in range(300)})
    asked: list[bool] = []

    def note(*arguments: Any) -> None:
        if "UPDATE witness" in arguments[2]:
            asked.append(arguments[5])

    listens_for(engine, "before_cursor_execute")(note)
    _told(engine, redis_client)
    assert ledger.write_off(engine, Journal(redis_client), events=300, reason="?", actor="a") == 300

    assert asked == [False, False]  # neither of them row by row
    assert ledger.read(engine, Journal(redis_client)).deficit == 0


def test_only_what_was_told_is_written_off(engine: Engine, redis_client: Redis) -> None:
    """
    A deficit that nobody was told of, or one of another size, stays what it is.
    """
    journal = Journal(redis_client)
    assert ledger.write_off(engine, journal, events=0, reason="?", actor="a") == 0
    _deleted(engine, redis_client)
    assert ledger.write_off(engine, journal, events=3, reason="?", actor="a") == 0
    _told(engine, redis_client)
    assert ledger.write_off(engine, journal, events=2, reason="?", actor="a") == 0

    found = ledger.read(engine, journal)
    assert (found.deficit, found.written_off) == (3, 0)
    assert rows(engine, "SELECT 1 FROM audit") == []


def test_what_is_lost_after_a_write_off_is_missed(engine: Engine, redis_client: Redis) -> None:
    """
    A write-off excuses what was missing then, and nothing that comes later.
    """
    journal = Journal(redis_client)
    _forgotten(engine, redis_client)
    _told(engine, redis_client)
    assert ledger.write_off(engine, journal, events=3, reason="?", actor="a") == 3
    _deleted(engine, redis_client)

    assert ledger.read(engine, journal).deficit == 3
