"""The canary: it goes through the whole line, leaves nothing, and cannot be imitated."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest
from pydantic import ValidationError
from redis import Redis
from sqlalchemy import Engine

from detection import Event, Scanner, Severity, probes
from pipeline import watch
from pipeline.chunk import AcceptedEvent, Chunk, decode, encode
from pipeline.errors import JournalFull, JournalUnavailable, PipelineError
from pipeline.ids import ChunkId, EventId
from pipeline.journal import Journal, Lane, NewChunk
from pipeline.settings import PipeSettings
from pipeline.storage import alerts, canaries, ledger, transaction
from pipeline.storage.canaries import CanaryOutcome, Flight
from tests.integration.pipeline.bench import RULES, accepted, event, make_bench, one, rows
from workers import canary, detect, tasks
from workers.detect import Bench, Ending

_LEFT = ("chunks", "events", "findings", "alerts", "tallies", "dead_letters", "rejections", "strays")


def _bench(redis: Redis, engine: Engine) -> Bench:
    return replace(make_bench(redis, engine), attacks=lambda: probes(RULES, most=4))


def _sent(redis: Redis, engine: Engine, lane: Lane = Lane.REALTIME) -> ChunkId:
    return canary.send(lane, engine=engine, journal=Journal(redis), ring=lambda *_: None)


def _flight(engine: Engine, lane: Lane = Lane.REALTIME) -> Flight:
    with transaction(engine) as connection:
        return canaries.latest(connection)[lane]


def _carried(redis: Redis, sent: ChunkId) -> AcceptedEvent:
    fields: dict[bytes, bytes] = redis.hgetall(f"sentinel:entry:{sent}")  # type: ignore[assignment]
    (item,) = decode(fields[b"body"]).events
    return item


def _with_tool(found: Event, tool: str) -> Event:
    return Event(found.timestamp, found.user, found.agent, tool, found.prompt, found.response)


def _conditions(redis: Redis, engine: Engine) -> Sequence[str]:
    watch.run(redis, engine, Journal(redis), canary_seconds=60)
    return [str(title) for (title,) in rows(engine, "SELECT title FROM incidents ORDER BY title")]


@pytest.mark.parametrize("lane", Lane)
def test_a_canary_goes_through_the_whole_line_and_leaves_nothing(
    engine: Engine, redis_client: Redis, lane: Lane
) -> None:
    """
    It is judged, flagged, and claimed by the alert worker, and no verdict, alert, figure or count knows of it.
    """
    bench = _bench(redis_client, engine)
    before = ledger.read(engine, bench.journal)
    sent = _sent(redis_client, engine, lane)
    waiting = ledger.read(engine, bench.journal)

    assert detect.run(str(sent), bench) is Ending.JUDGED
    with transaction(engine) as connection:
        assert alerts.claim(connection, limit=10, lease_seconds=30) == []

    flight = _flight(engine, lane)
    assert (flight.outcome, flight.is_seen) == (CanaryOutcome.FLAGGED, True)
    assert 0 < (flight.judged_seconds or 0) < (flight.alerted_seconds or 0)
    assert {table: one(engine, f"SELECT count(*) FROM {table}") for table in _LEFT} == dict.fromkeys(_LEFT, 0)
    assert one(engine, "SELECT count(*) FROM outbox") == 0
    assert before == waiting == ledger.read(engine, bench.journal)
    assert _conditions(redis_client, engine) == []


def test_a_canary_travels_in_company(engine: Engine, redis_client: Redis) -> None:
    """
    Judged in one transaction with ordinary chunks, it takes nothing from them and adds nothing to them.
    """
    bench = _bench(redis_client, engine)
    ordinary = accepted(bench.journal, event(), event(tool="os_shell"))
    sent = _sent(redis_client, engine)
    leases = [bench.journal.lease(chunk_id, chunk_id) for chunk_id in (ordinary, str(sent))]
    _, summary = detect._judge([leased for leased in leases if leased], bench)

    assert summary.to_send == 2
    assert one(engine, "SELECT count(*) FROM events") == 2
    assert one(engine, "SELECT count(*) FROM outbox") == 2


def test_what_merely_looks_like_a_canary_is_an_ordinary_event(engine: Engine, redis_client: Redis) -> None:
    """
    A client that sends a canary's very words, signature and all, gets a verdict on them.
    """
    bench = _bench(redis_client, engine)
    sent = _sent(redis_client, engine)
    item = _carried(redis_client, sent)
    chunk_id = accepted(bench.journal, _with_tool(item.event, "os_shell"))

    assert detect.run(chunk_id, bench) is Ending.JUDGED
    assert one(engine, "SELECT count(*) FROM alerts") == 1
    assert rows(engine, "SELECT judged_at FROM canaries") == [(None,)]


def test_nobody_hides_behind_a_canarys_name(engine: Engine, redis_client: Redis) -> None:
    """
    A chunk laid into Redis under a canary's name, with a signature made for another, is judged and shows as a surplus.
    """
    bench = _bench(redis_client, engine)
    item = _carried(redis_client, _sent(redis_client, engine))
    forged = ChunkId.canary()
    body = encode(Chunk([AcceptedEvent(item.received_at, _with_tool(item.event, "os_shell"))]))
    bench.journal.rerun(NewChunk(str(forged), Lane.REALTIME, 1, body), "nobody")

    assert detect.run(str(forged), bench) is Ending.JUDGED

    assert one(engine, "SELECT count(*) FROM alerts") == 1
    assert ledger.read(engine, bench.journal).surplus == 1
    assert EventId(forged.root, 0).chunk == one(engine, "SELECT chunk FROM events")


def test_rules_that_see_nothing_are_noticed(engine: Engine, redis_client: Redis) -> None:
    """
    A canary that is judged clean is an incident, until the next one is seen.
    """
    blind = replace(_bench(redis_client, engine), attacks=tuple)
    assert detect.run(str(_sent(redis_client, engine)), blind) is Ending.JUDGED
    assert _flight(engine).outcome is CanaryOutcome.CLEAN
    assert _conditions(redis_client, engine) == ["Attacks on the lane realtime are judged clean"]

    bench = _bench(redis_client, engine)
    assert detect.run(str(_sent(redis_client, engine)), bench) is Ending.JUDGED
    with transaction(engine) as connection:
        alerts.claim(connection, limit=10, lease_seconds=30)
    assert _flight(engine).is_seen


@pytest.mark.parametrize(
    ("is_judged", "title"), [(False, "are not judged"), (True, "raise no alert")]
)  # fmt: skip
def test_a_canary_that_does_not_come_home_is_noticed(
    engine: Engine, redis_client: Redis, is_judged: bool, title: str
) -> None:
    """
    Which step it did not come to is what operators are told.
    """
    sent = _sent(redis_client, engine)
    assert _conditions(redis_client, engine) == []
    if is_judged:
        detect.run(str(sent), _bench(redis_client, engine))
    with transaction(engine) as connection:
        connection.exec_driver_sql("UPDATE canaries SET sent_at = sent_at - interval '31 seconds'")
    redis_client.hdel("sentinel:progress", "realtime")

    assert _conditions(redis_client, engine) == [f"Attacks on the lane realtime {title}"]


@pytest.mark.parametrize("why", [JournalUnavailable, JournalFull])
def test_a_canary_that_was_not_sent_is_not_missed(
    engine: Engine, redis_client: Redis, monkeypatch: pytest.MonkeyPatch, why: type[PipelineError]
) -> None:
    """
    A Redis that is away or full at a canary's second tells nothing of the lane.
    """

    def refuse(*_: object) -> int:
        raise why

    monkeypatch.setattr(Journal, "rerun", refuse)
    with pytest.raises(why):
        _sent(redis_client, engine)

    assert one(engine, "SELECT count(*) FROM canaries") == 0


@pytest.mark.parametrize("refused", Lane)
def test_a_lane_whose_canary_cannot_be_sent_keeps_none_on_the_ground(
    engine: Engine, redis_client: Redis, monkeypatch: pytest.MonkeyPatch, refused: Lane
) -> None:
    """
    Each lane's flies by itself: that one was refused says nothing of the other.
    """
    journal = Journal(redis_client)
    real = journal.rerun

    def refuse(chunk: NewChunk, acceptor: str) -> int:
        if chunk.lane is refused:
            raise JournalUnavailable
        return real(chunk, acceptor)

    monkeypatch.setattr(journal, "rerun", refuse)
    monkeypatch.setattr(tasks, "worker", lambda: SimpleNamespace(engine=engine, journal=journal))
    monkeypatch.setattr(tasks, "_ring", lambda *_: None)

    tasks.canary_task()

    assert rows(engine, "SELECT lane FROM canaries") == [(lane,) for lane in Lane if lane is not refused]


def test_canaries_fly_more_often_than_they_are_looked_for() -> None:
    """
    The longest pause between two still lies within the time in which the last one is looked for.
    """
    longest = PipeSettings(canary_seconds=600).canary_seconds

    assert longest + canaries.OVERDUE_SECONDS < canaries._LOOKS_BACK.total_seconds()
    with pytest.raises(ValidationError):
        PipeSettings(canary_seconds=longest + 1)


def test_a_canary_that_fails_is_no_dead_letter(engine: Engine, redis_client: Redis) -> None:
    """
    When every attempt to judge it fails it is taken out, and noted as failed.
    """
    bench = replace(make_bench(redis_client, engine, fails_on=lambda _: True), attacks=lambda: probes(RULES, most=1))
    sent = _sent(redis_client, engine)
    while detect.run(str(sent), bench) is not Ending.DROPPED:
        pass

    assert _flight(engine).outcome is CanaryOutcome.FAILED
    assert one(engine, "SELECT count(*) FROM dead_letters") == 0
    assert bench.journal.open_counts()[Lane.REALTIME] == 0


def test_probes_are_attacks_on_different_rules() -> None:
    """
    Each probe is seen by the rules, and the gravest are taken first.
    """
    found = probes(RULES, most=6)
    flagged = [Scanner(RULES).scan(attack).severity for attack in found]

    assert len(found) == 6
    assert all(flagged)
    assert Severity.CRITICAL in flagged
