"""The watch: losses and strays are found, and operators are told of each once when it begins and once when it ends."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from redis import Redis
from sqlalchemy import Engine, text

from pipeline import watch
from pipeline.ids import ChunkId
from pipeline.journal import Journal
from pipeline.storage import incidents, ledger, transaction
from pipeline.storage.incidents import Condition, Incident, IncidentKind
from tests.integration.pipeline.bench import accepted, event, make_bench, one, rows
from tests.integration.pipeline.judged_rows import forge, judged, reviewed
from workers import detect
from workers.detect import Bench

Later = Callable[[float], None]


@pytest.fixture
def later(engine: Engine) -> Later:
    """Give a function that lets seconds pass for what is noted about incidents."""

    def pass_by(seconds: float) -> None:
        with transaction(engine) as connection:
            for column in ("opened_at", "seen_at"):
                change = f"UPDATE incidents SET {column} = {column} - make_interval(secs => :seconds)"
                connection.execute(text(change), {"seconds": seconds})

    return pass_by


def _looked(engine: Engine, redis: Redis) -> int:
    return watch.run(redis, engine, Journal(redis), canary_seconds=60)


def _told(engine: Engine) -> list[Incident]:
    with transaction(engine) as connection:
        return list(incidents.listing(connection, limit=10))


def _settles_meanwhile(monkeypatch: pytest.MonkeyPatch, chunk_id: str, bench: Bench) -> None:
    """Have a chunk judged just before the ledger asks which chunks are open."""
    still_open = ledger._still_open

    def judged_first(*arguments: Any) -> Any:
        detect.run(chunk_id, bench)
        return still_open(*arguments)

    monkeypatch.setattr(ledger, "_still_open", judged_first)


def test_a_chunk_deleted_by_hand_is_a_deficit_at_once(engine: Engine, redis_client: Redis) -> None:
    """
    The journal's lists still name the chunk, and no sweep has come by: the ledger looks for the chunk itself.
    """
    journal = Journal(redis_client)
    chunk_id = accepted(journal, event(), event())
    redis_client.delete(f"sentinel:entry:{chunk_id}")

    found = ledger.read(engine, journal)

    assert (found.deficit, found.in_flight) == (2, 0)


def test_a_loss_is_told_once_and_its_end_once(engine: Engine, redis_client: Redis, later: Later) -> None:
    """
    A loss that lasts is told in words, however often it is looked at; when it is mended that is told, too.
    """
    journal = Journal(redis_client)
    chunk_id = accepted(journal, event(), event(), acceptor="api-1")
    kept = redis_client.dump(f"sentinel:entry:{chunk_id}") or b""
    redis_client.delete(f"sentinel:entry:{chunk_id}")

    announced = [_looked(engine, redis_client)]
    later(9)
    announced += [_looked(engine, redis_client), _looked(engine, redis_client)]
    redis_client.restore(f"sentinel:entry:{chunk_id}", 0, kept)
    announced += [_looked(engine, redis_client)]
    later(13)
    announced += [_looked(engine, redis_client), _looked(engine, redis_client)]

    assert announced == [0, 1, 0, 0, 1, 0]
    (incident,) = _told(engine)
    assert (incident.kind, incident.events, incident.title) == (IncidentKind.DEFICIT, 2, "2 events accepted and lost")
    assert incident.ended_at is not None
    assert one(engine, "SELECT count(*) FROM outbox") == 2


def test_what_passes_by_itself_is_not_told(engine: Engine, redis_client: Redis, later: Later) -> None:
    """
    What one look finds and the next does not tells nobody anything.
    """
    journal = Journal(redis_client)
    chunk_id = accepted(journal, event())
    kept = redis_client.dump(f"sentinel:entry:{chunk_id}") or b""
    redis_client.delete(f"sentinel:entry:{chunk_id}")
    _looked(engine, redis_client)
    redis_client.restore(f"sentinel:entry:{chunk_id}", 0, kept)
    later(20)

    assert (_looked(engine, redis_client), _told(engine)) == (0, [])
    assert one(engine, "SELECT count(*) FROM incidents") == 0


def test_what_comes_and_goes_is_not_told(engine: Engine, redis_client: Redis, later: Later) -> None:
    """
    What was seen, was not there at the next look, and is seen again has not lasted from the first look on.
    """
    journal = Journal(redis_client)
    chunk_id = accepted(journal, event())
    kept = redis_client.dump(f"sentinel:entry:{chunk_id}") or b""
    redis_client.delete(f"sentinel:entry:{chunk_id}")
    _looked(engine, redis_client)
    later(5)
    redis_client.restore(f"sentinel:entry:{chunk_id}", 0, kept)
    _looked(engine, redis_client)
    later(5)
    redis_client.delete(f"sentinel:entry:{chunk_id}")

    assert (_looked(engine, redis_client), _told(engine)) == (0, [])


def test_what_is_settled_while_the_ledger_is_read_is_not_missing(
    engine: Engine, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A chunk that commits between what is settled and what is open is still open, as it was at the first of the two.
    """
    bench = make_bench(redis_client, engine)
    chunk_id = accepted(bench.journal, event(), event())
    _settles_meanwhile(monkeypatch, chunk_id, bench)

    found = ledger.read(engine, bench.journal)

    assert (found.judged, found.in_flight, found.deficit) == (0, 2, 0)
    assert ledger.read(engine, bench.journal).judged == 2


def test_a_loss_names_its_acceptor_and_its_time(engine: Engine, redis_client: Redis, later: Later) -> None:
    """
    What one acceptor lost at one time is one incident, what another or the same lost at another time is another.
    """
    now = Journal(redis_client).now() // 1_000_000 - 3600
    with transaction(engine) as connection:
        ledger.witness(connection, "api-1", {now - 5000: 3, now: 1, now + 30: 2})
        ledger.witness(connection, "api-2", {now: 4})
    _looked(engine, redis_client)
    later(9)
    _looked(engine, redis_client)

    found = {(incident.subject, incident.events) for incident in _told(engine)}
    assert found == {(f"api-1 {now - 5000}", 3), (f"api-1 {now}", 3), (f"api-2 {now}", 4)}


def test_a_loss_stays_one_whatever_of_it_is_found_or_mended_first(
    engine: Engine, redis_client: Redis, later: Later
) -> None:
    """
    An earlier second of it is found later, its first ones are made good: it was told once, and its end is told once.
    """
    now = Journal(redis_client).now() // 1_000_000 - 3600

    def looks() -> int:
        announced = _looked(engine, redis_client)
        later(9)
        return announced + _looked(engine, redis_client)

    def make_good(*seconds: int) -> None:
        with transaction(engine) as connection:
            mend = "UPDATE witness SET reconciled = true WHERE second = ANY(:seconds)"
            connection.execute(text(mend), {"seconds": list(seconds)})

    with transaction(engine) as connection:
        ledger.witness(connection, "api-1", {now: 1, now + 500: 2, now + 1000: 4})
    announced = [looks()]
    with transaction(engine) as connection:
        ledger.witness(connection, "api-1", {now - 20: 8})
    announced.append(looks())
    make_good(now - 20, now, now + 500)
    announced.append(looks())
    (incident,) = _told(engine)
    assert (incident.events, incident.ended_at) == (4, None)
    make_good(now + 1000)
    later(13)
    announced.append(looks())

    assert announced == [1, 0, 0, 1]
    (incident,) = _told(engine)
    assert incident.ended_at is not None


def test_a_verdict_row_that_nobody_accepted_is_a_surplus(engine: Engine, redis_client: Redis, later: Later) -> None:
    """
    A row written past the pipe is found by the next review, told with its chunk's name, and over when it is deleted.
    """
    judged(engine, redis_client)
    assert reviewed(engine) == 0
    forged = ChunkId.canary().root
    forge(engine, chunk=f"'{forged}'::uuid")

    assert reviewed(engine) == 1
    assert ledger.read(engine, Journal(redis_client)).surplus == 1
    _looked(engine, redis_client)
    later(9)
    _looked(engine, redis_client)
    (incident,) = _told(engine)
    assert incident.kind is IncidentKind.SURPLUS
    assert forged.hex in incident.detail

    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM events WHERE chunk = :chunk"), {"chunk": forged})
    assert reviewed(engine) == 0


def test_a_redis_that_lost_its_tail_makes_no_surplus_of_what_was_judged(engine: Engine, redis_client: Redis) -> None:
    """
    Redis forgets four events that it had counted, of which two were judged: exactly the other two are missing.
    """
    journal = Journal(redis_client)
    accepted(journal, event(), acceptor="old")
    ledger.remember(engine, journal)
    image = {name: redis_client.dump(name) or b"" for name in redis_client.keys("sentinel:*")}
    judged(engine, redis_client, 2)
    lost = accepted(journal, event(), event(), acceptor="api-1", flush=2)
    second = int(redis_client.hget(f"sentinel:entry:{lost}", "at") or 0) // 1_000_000 - 60
    with transaction(engine) as connection:
        ledger.witness(connection, "api-1", {second: 2})
    ledger.remember(engine, journal)

    redis_client.flushall()
    for name, value in image.items():
        redis_client.restore(name, 0, value)
    assert ledger.remember(engine, journal) == 2

    found = ledger.read(engine, journal)
    assert (found.deficit, found.surplus, found.in_flight) == (2, 0, 1)
    assert ledger.remember(engine, journal) == 0


def test_what_redis_forgot_is_made_good_while_chunks_are_settled(
    engine: Engine, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A chunk that commits while it is counted what Redis forgot leaves no surplus for ever.
    """
    bench = make_bench(redis_client, engine)
    judged(engine, redis_client, 2)
    ledger.remember(engine, bench.journal)
    redis_client.hset("sentinel:ledger", "accepted", "0")
    _settles_meanwhile(monkeypatch, accepted(bench.journal, event(), flush=2), bench)

    assert ledger.remember(engine, bench.journal) == 2
    found = ledger.read(engine, bench.journal)
    assert (found.judged, found.deficit, found.surplus) == (3, 0, 0)


def test_a_surplus_that_was_told_outlasts_a_restart_of_redis(engine: Engine, redis_client: Redis, later: Later) -> None:
    """
    What was settled without having been accepted is not taken for something that Redis forgot.
    """
    journal = Journal(redis_client)
    judged(engine, redis_client, 2)
    redis_client.hset("sentinel:ledger", "accepted", "0")
    ledger.remember(engine, journal)
    _looked(engine, redis_client)
    later(9)
    _looked(engine, redis_client)
    with transaction(engine) as connection:
        connection.execute(text("UPDATE counted SET run_id = 'the one before'"))

    assert ledger.remember(engine, journal) == 0
    assert ledger.read(engine, journal).surplus == 2


def test_a_surplus_that_nobody_was_told_of_outlasts_a_restart_of_redis(engine: Engine, redis_client: Redis) -> None:
    """
    Redis goes away right after the surplus was seen: what it forgot then is made good, the surplus is not.
    """
    journal = Journal(redis_client)
    judged(engine, redis_client, 2)
    redis_client.hset("sentinel:ledger", "accepted", "0")
    ledger.remember(engine, journal)
    judged(engine, redis_client, 3, flush=2)
    ledger.remember(engine, journal)
    redis_client.hset("sentinel:ledger", "accepted", "1")

    assert ledger.remember(engine, journal) == 2
    assert ledger.read(engine, journal).surplus == 2
    assert ledger.remember(engine, journal) == 0


def test_a_silent_watch_is_noticed_by_another_process(engine: Engine, redis_client: Redis, later: Later) -> None:
    """
    When the worker of maintenance gives no sign, the alert worker's own look says so; its looks end nobody else's.
    """
    with transaction(engine) as connection:
        incidents.observe(connection, list(IncidentKind), [Condition(IncidentKind.STUCK, "bulk", "stuck", "it is")])
    seconds, _ = redis_client.time()
    redis_client.hset("sentinel:pulses", "maintenance", float(seconds - 45))
    assert watch.over_the_watch(redis_client, engine) == 0
    later(9)
    assert watch.over_the_watch(redis_client, engine) == 1
    redis_client.hset("sentinel:pulses", "maintenance", float(seconds))
    later(13)
    assert watch.over_the_watch(redis_client, engine) == 1

    found: dict[str, UUID] = dict(rows(engine, "SELECT kind, incident_id FROM incidents"))
    assert set(found) == {"stuck", "silent"}


def test_a_lane_is_stuck_when_nothing_is_taken_up(engine: Engine, redis_client: Redis, later: Later) -> None:
    """
    An old event alone says that the lane is behind; that nothing is taken up says that it is stuck.
    """
    journal = Journal(redis_client)
    first, second = accepted(journal, event()), accepted(journal, event(), flush=2)
    for chunk_id in (first, second):
        redis_client.zincrby("sentinel:open:realtime", -60_000_000, chunk_id)
    journal.lease(first, "token")
    _looked(engine, redis_client)
    assert one(engine, "SELECT count(*) FROM incidents WHERE kind = 'stuck'") == 0

    redis_client.hincrby("sentinel:progress", "realtime", -30_000_000)
    _looked(engine, redis_client)
    later(9)
    _looked(engine, redis_client)

    assert [(each.kind, each.subject) for each in _told(engine)] == [(IncidentKind.STUCK, "realtime")]
