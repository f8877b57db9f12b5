"""Clients' own ids: what is said twice is judged once, and what says something else is judged whatever its id."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr
from redis import Redis
from sqlalchemy import Engine
from sqlalchemy import event as events

from detection import Event
from pipeline.ids import BatchId, ChunkId, EventId
from pipeline.journal import Journal
from pipeline.queue import make_celery
from pipeline.rerun import rerun
from pipeline.settings import PipeSettings
from pipeline.storage import batches, client_ids, erasure, ledger, reading, receipts, retention, transaction
from pipeline.storage.receipts import ReceiptState
from tests.integration.pipeline.bench import accepted, event, make_bench, one, rows
from workers import detect
from workers.detect import Ending


def _named(client_id: str | None, prompt: str = "hello", **fields: str) -> Event:
    return msgspec.structs.replace(event(prompt, **fields), client_id=client_id)


def _id(chunk: str, position: int = 0) -> EventId:
    return ChunkId.parse(chunk).event(position)


def _state(engine: Engine, journal: Journal, event_id: EventId) -> tuple[str, str | None]:
    found = receipts.find(engine, journal, event_id)
    assert found is not None
    return found.state, found.duplicate_of


def _balanced(engine: Engine, journal: Journal) -> tuple[int, int, int, int]:
    found = ledger.read(engine, journal)
    assert found.accepted == found.judged + found.duplicates + found.dead + found.in_flight
    assert (found.deficit, found.surplus) == (0, 0)
    return found.accepted, found.judged, found.duplicates, found.dead


def test_an_event_sent_again_is_a_duplicate(engine: Engine, redis_client: Redis) -> None:
    """
    The second event of an id and body has neither verdict nor alert; its receipt names the first, the counts say so.
    """
    bench = make_bench(redis_client, engine)
    first = accepted(bench.journal, _named("a-1", tool="os_shell"), flush=1)
    again = accepted(bench.journal, _named(None), _named("a-1", tool="os_shell"), _named("a-2"), flush=2)

    assert [detect.run(chunk, bench) for chunk in (first, again)] == [Ending.JUDGED] * 2

    assert rows(engine, "SELECT client_id FROM events ORDER BY client_id") == [("a-1",), ("a-2",), (None,)]
    assert one(engine, "SELECT count(*) FROM alerts") == one(engine, "SELECT count(*) FROM outbox") == 1
    assert one(engine, "SELECT sum(events) FROM tallies WHERE dimension = 'severity'") == 3
    assert _balanced(engine, bench.journal) == (4, 3, 1, 0)
    assert _state(engine, bench.journal, _id(again, 1)) == (ReceiptState.DUPLICATE, str(_id(first)))
    assert _state(engine, bench.journal, _id(again, 2)) == (ReceiptState.JUDGED, None)
    whole = batches.status(engine, bench.journal, BatchId(_id(again).chunk, 0, 3))
    rest = batches.status(engine, bench.journal, BatchId(_id(again).chunk, 2, 1))
    assert whole is not None
    assert rest is not None
    assert (whole.judged, whole.duplicates, whole.flagged, whole.dead) == (2, 1, 0, 0)
    assert (rest.judged, rest.duplicates) == (1, 0)


def test_an_id_used_before_hides_nothing(engine: Engine, redis_client: Redis) -> None:
    """
    The same id with another body is judged, and both events name each other; repeated, it is a duplicate of its own.
    """
    bench = make_bench(redis_client, engine)
    chunk = accepted(bench.journal, _named("x"), _named("x", tool="os_shell"), _named("x", tool="os_shell"))

    detect.run(chunk, bench)

    assert one(engine, "SELECT count(*) FROM findings WHERE rule_id = 'dangerous-tool'") == 1
    assert _balanced(engine, bench.journal) == (3, 2, 1, 0)
    assert _state(engine, bench.journal, _id(chunk, 2)) == (ReceiptState.DUPLICATE, str(_id(chunk, 1)))
    with reading.snapshot(engine) as connection:
        attack = reading.verdict(connection, _id(chunk, 1))
        assert attack is not None
        assert attack.fields["client_id"] == "x"
        assert reading.namesakes(connection, attack) == [_id(chunk, 0)]


@pytest.mark.parametrize("name", ["timestamp", "user", "agent", "tool", "prompt", "response", "session_id", "metadata"])
def test_every_member_makes_another_body(name: str) -> None:
    """
    Whatever differs, it is another body; only the order of members in the metadata makes none.
    """
    same = [msgspec.structs.replace(_named("x"), metadata=found) for found in ({"a": 1, "b": 2}, {"b": 2, "a": 1})]
    changed: object = {"a": 1} if name == "metadata" else "other"

    assert client_ids.digest(same[0]) == client_ids.digest(same[1])
    assert client_ids.digest(msgspec.structs.replace(same[0], **{name: changed})) != client_ids.digest(same[0])


def test_transactions_with_the_same_ids_wait_in_one_order(engine: Engine, redis_client: Redis) -> None:
    """
    Chunks that hold each other's ids in opposite order, judged at once, end without a deadlock and with one of each.
    """
    names = [f"id-{number}" for number in range(60)]
    benches = [make_bench(redis_client, engine) for _ in range(4)]
    chunks = [
        accepted(benches[0].journal, *map(_named, names[::step]), flush=flush)
        for flush, step in enumerate((1, -1, 1, -1), 1)
    ]
    start = threading.Barrier(4)
    endings: list[Ending] = []

    def judge(number: int) -> None:
        start.wait()
        endings.append(detect.run(chunks[number], benches[number]))

    threads = [threading.Thread(target=judge, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert endings == [Ending.JUDGED] * 4
    assert rows(engine, "SELECT count(*), count(DISTINCT client_id) FROM events") == [(60, 60)]
    assert _balanced(engine, benches[0].journal) == (240, 60, 180, 0)


def test_an_unfinished_transaction_claims_no_id(engine: Engine, redis_client: Redis) -> None:
    """
    While another transaction holds the id, an event waits; when that one is rolled back, the event is judged.
    """
    bench = make_bench(redis_client, engine)
    chunk = accepted(bench.journal, _named("held"))
    other = EventId(BatchId.parse(f"{'0' * 32}.0.1.1").chunk, 0)
    with engine.connect() as held:
        client_ids.claim(held, [(other, datetime.now(UTC), _named("held"))])
        assert detect.run(chunk, bench) is Ending.POSTPONED
        held.rollback()

    assert detect.run(chunk, bench) is Ending.JUDGED
    assert _balanced(engine, bench.journal) == (1, 1, 0, 0)
    assert one(engine, "SELECT count(*) FROM dead_letters") == 0


def test_a_duplicate_costs_its_neighbours_nothing(engine: Engine, redis_client: Redis) -> None:
    """
    Of chunks that are recorded together, only the one that has a duplicate is counted anew.
    """
    bench = make_bench(redis_client, engine)
    detect.run(accepted(bench.journal, _named("twice")), bench)
    names = ("once", "twice", None)
    chunks = [accepted(bench.journal, _named(name), flush=flush) for flush, name in enumerate(names, 2)]
    counted: list[object] = []

    def note(*called: Any) -> None:
        counted.extend([called[3]["chunk"]] if called[2].startswith("UPDATE chunks") else [])

    events.listen(engine, "before_cursor_execute", note)
    try:
        detect._judge([leased for chunk in chunks if (leased := bench.journal.lease(chunk, "token"))], bench)
    finally:
        events.remove(engine, "before_cursor_execute", note)

    assert counted == [chunks[1]]
    assert rows(engine, "SELECT sum(judged), sum(duplicates) FROM chunks") == [(3, 1)]


def test_a_dead_letter_that_was_sent_again_is_a_duplicate(engine: Engine, redis_client: Redis, redis_url: str) -> None:
    """
    A dead event claims no id, so its repetition is judged; run again, the dead one is the duplicate.
    """
    failing = make_bench(redis_client, engine, fails_on=lambda _: True)
    dead = accepted(failing.journal, _named("d"))
    while detect.run(dead, failing) is not Ending.DEAD:
        pass
    bench = make_bench(redis_client, engine)
    again = accepted(bench.journal, _named("d"), flush=2)
    detect.run(again, bench)
    assert _balanced(engine, bench.journal) == (2, 1, 0, 1)

    celery = make_celery(PipeSettings(redis_url=SecretStr(redis_url)), "test")
    entry = rerun(_id(dead), journal=bench.journal, engine=engine, celery=celery)
    assert entry is not None
    assert detect.run(entry, bench) is Ending.JUDGED

    assert one(engine, "SELECT count(*) FROM dead_letters") == 0
    assert _balanced(engine, bench.journal) == (2, 1, 1, 0)
    assert _state(engine, bench.journal, _id(dead)) == (ReceiptState.DUPLICATE, str(_id(again)))


def test_ids_go_with_the_events(engine: Engine, redis_client: Redis) -> None:
    """
    Erasing an event forgets its id, and retention forgets those of events that are too old; then it may come anew.
    """
    bench = make_bench(redis_client, engine)
    chunk = accepted(bench.journal, _named("kept"), _named("erased"), _named("kept"))
    detect.run(chunk, bench)

    with transaction(engine) as connection:
        assert erasure.erase_event(connection, _id(chunk, 1), actor="test")
    assert rows(engine, "SELECT client_id FROM client_ids") == [("kept",)]
    with transaction(engine) as connection:
        retention.forget(connection, before=datetime.now(UTC) - timedelta(minutes=5))
    assert one(engine, "SELECT count(*) FROM client_ids") == one(engine, "SELECT count(*) FROM duplicates") == 1
    with transaction(engine) as connection:
        retention.forget(connection, before=datetime.now(UTC) + timedelta(minutes=5))
    assert one(engine, "SELECT count(*) FROM client_ids") == one(engine, "SELECT count(*) FROM duplicates") == 0

    later = accepted(bench.journal, _named("kept"), flush=2)
    detect.run(later, bench)
    assert _state(engine, bench.journal, _id(later)) == (ReceiptState.JUDGED, None)
