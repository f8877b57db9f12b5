"""A chunk that keeps failing is split, so that one poisonous event takes no innocent ones along."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from pydantic import SecretStr
from redis import Redis
from sqlalchemy import Engine

from detection import Event
from pipeline.chunk import AcceptedEvent, Chunk, RejectedRecord, encode
from pipeline.ids import BatchId, ChunkId, EventId, new_uuid
from pipeline.journal import Journal, Lane, Leased, NewChunk
from pipeline.settings import PipeSettings
from pipeline.storage import batches, ledger, receipts, verdicts
from tests.integration.pipeline.bench import (
    Fuse,
    Killed,
    accept,
    accepted,
    event,
    kills,
    make_bench,
    one,
    rows,
    waiting_bytes,
)
from workers import bench as bench_of_process
from workers import detect
from workers.detect import Bench, Ending

_EXPIRED = 1e-6
_STALE = "9" * 17
# lease, the commit, split: counted by a test below.
_STEPS = 6
_WORKER = """
import os, sys
from pipeline.settings import PipeSettings
from workers.bench import Worker, bury_children
pipe = PipeSettings()
print(bury_children(pipe), flush=True)
if not (child := os.fork()):
    here = Worker(pipe)
    here.journal.lease(sys.argv[1], here.holder + "x")
    os._exit(0)
os.waitpid(child, 0)
print(bury_children(pipe))
"""


def _poisoned(redis_client: Redis, engine: Engine, **options: float) -> Bench:
    return make_bench(redis_client, engine, fails_on=lambda found: found.prompt == "poison", **options)  # type: ignore[arg-type]


def _exhausted(bench: Bench, chunk_id: str) -> None:
    assert [detect.run(chunk_id, bench) for _ in range(3)] == [Ending.FAILED] * 3


def _drain(bench: Bench) -> None:
    """Sweep and judge until nothing is left, as long as the accounts stay right."""
    for _ in range(100):
        counts = ledger.read(bench.engine, bench.journal)
        assert (counts.deficit, counts.surplus) == (0, 0)
        assert counts.accepted == counts.judged + counts.dead + counts.in_flight
        _, entries = bench.journal.due(Lane.REALTIME, _STALE, limit=100)
        if not entries:
            break
        for entry_id in entries:
            detect.run(entry_id, bench)
    assert bench.journal.open_counts() == {Lane.REALTIME: 0, Lane.BULK: 0}


def _final(engine: Engine) -> tuple[list[int], list[str]]:
    judged = [position for (position,) in rows(engine, "SELECT position FROM events ORDER BY position")]
    return judged, [event_id for (event_id,) in rows(engine, "SELECT event_id FROM dead_letters ORDER BY event_id")]


def test_only_the_poison_dies(engine: Engine, redis_client: Redis) -> None:
    """
    All others are judged under the ids they were accepted with, and the accounts are right at every moment.
    """
    bench = _poisoned(redis_client, engine)
    chunk_id = accepted(bench.journal, *(event("poison" if number == 5 else "hello") for number in range(7)))

    _drain(bench)

    assert _final(engine) == ([0, 1, 2, 3, 4, 6], [f"{chunk_id}.5"])
    read = ledger.read(engine, bench.journal)
    assert (read.accepted, read.judged, read.dead, read.in_flight) == (7, 6, 1, 0)
    states = {
        position: found.state
        for position in range(8)
        if (found := receipts.find(engine, bench.journal, EventId(ChunkId.parse(chunk_id).root, position)))
    }
    assert states == dict.fromkeys(range(7), "judged") | {5: "dead_letter"}


@pytest.mark.parametrize("how", ["raises", "kills"])
def test_an_event_that_breaks_its_judge_is_alone_after_three_attempts(
    engine: Engine, redis_client: Redis, how: str
) -> None:
    """
    From the second attempt on the journal knows at which event it was: three more on that one, and it alone is dead.
    """

    def breaks(found: Event) -> bool:
        if found.prompt == "poison" and how == "kills":
            raise Killed
        return found.prompt == "poison"

    bench = make_bench(redis_client, engine, fails_on=breaks, lease_seconds=_EXPIRED)
    events = [event("poison" if number == 37 else "hello") for number in range(80)]
    chunk_id = accepted(bench.journal, *events)

    broken = 0
    while entries := bench.journal.due(Lane.REALTIME, _STALE, limit=100)[1]:
        for entry_id in entries:
            try:
                broken += detect.run(entry_id, bench) is Ending.FAILED
            except Killed:
                broken += 1

    assert broken == 6
    assert _final(engine) == ([*range(37), *range(38, 80)], [f"{chunk_id}.37"])
    assert rows(engine, "SELECT attempts FROM dead_letters") == [(3,)]
    assert one(engine, "SELECT count(*) FROM chunks WHERE state = 'split'") == 1


def test_what_fails_when_it_is_recorded_is_split_in_halves(
    engine: Engine, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The event that was judged last is not to blame for what PostgreSQL will not take.
    """
    bench = make_bench(redis_client, engine)
    chunk_id = accepted(bench.journal, *(event() for _ in range(4)))

    def refuse(*_: object, **__: object) -> None:
        raise ValueError

    monkeypatch.setattr(verdicts, "record", refuse)
    _exhausted(bench, chunk_id)
    assert detect.run(chunk_id, bench) is Ending.SPLIT
    monkeypatch.undo()

    assert sorted(bench.journal.due(Lane.REALTIME, _STALE, limit=9)[1]) == [f"{chunk_id}.0-2", f"{chunk_id}.2-4"]


def test_who_is_known_to_be_dead_holds_nothing_any_more(engine: Engine, redis_client: Redis) -> None:
    """
    What it held is rung for at once, and counts as its time running out would; what others hold is theirs.
    """
    dead, alive = (replace(make_bench(redis_client, engine), holder=name) for name in ("a.1.", "a.2."))
    with_dead, with_alive = accepted(dead.journal, event()), accepted(dead.journal, event(), flush=2)
    killed = replace(dead, journal=make_bench(redis_client, engine, fuse=Fuse(at="after lease")).journal)
    for bench, chunk_id in ((killed, with_dead), (replace(alive, journal=killed.journal), with_alive)):
        with pytest.raises(Killed):
            detect.run(chunk_id, bench)

    assert dead.journal.bereave(lambda token: token.startswith("a.1.")) == 1

    assert dead.journal.due(Lane.REALTIME, "0", limit=9)[1] == [with_dead]
    again = dead.journal.lease(with_dead, "b")
    assert again is not None
    assert again.number("attempts") == 1


def test_a_worker_buries_its_own_children_only(redis_client: Redis, redis_url: str) -> None:
    """
    A process of another worker may have the number of one that died here.
    """
    journal = Journal(redis_client)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    holders = (
        f"{bench_of_process.family()}.{gone.pid}.x",
        f"{bench_of_process.family()}.{os.getpid()}.x",
        f"other.{gone.pid}.x",
    )
    chunks = [accepted(journal, event(), flush=flush) for flush in (1, 2, 3)]
    for chunk_id, holder in zip(chunks, holders, strict=True):
        journal.lease(chunk_id, holder)

    assert bench_of_process.bury_children(PipeSettings(redis_url=SecretStr(redis_url))) == 1
    assert journal.due(Lane.REALTIME, "0", limit=9)[1] == chunks[:1]


def test_the_first_child_that_dies_is_buried_too(redis_client: Redis, redis_url: str) -> None:
    """
    A worker that began with nothing under way knows the child that it forked then.
    """
    chunk_id = accepted(Journal(redis_client), event())
    done = subprocess.run(
        [sys.executable, "-c", _WORKER, chunk_id],
        env={**os.environ, "SENTINEL_REDIS_URL": redis_url},
        check=True,
        capture_output=True,
    )

    assert done.stdout.split() == [b"0", b"1"]


def test_noting_who_is_next_is_no_work_of_its_own(engine: Engine, redis_client: Redis) -> None:
    """
    Where one event among hundreds kills, each attempt notes a few dozen, and the last has noted that very event.
    """
    bench = _poisoned(redis_client, engine)
    chunk_id = accepted(bench.journal, *(event(prompt="poison" if number == 317 else "") for number in range(500)))
    reach, noted = bench.journal.reach, list[list[int]]()

    def reaches(leased: Leased, position: int) -> None:
        noted[-1].append(position)
        reach(leased, position)

    bench.journal.reach = reaches  # type: ignore[method-assign]
    for _ in range(3):
        noted.append([])
        assert detect.run(chunk_id, bench) is Ending.FAILED

    assert not noted[0]
    assert max(map(len, noted)) < 50
    assert detect.run(chunk_id, bench) is Ending.SPLIT
    parts = sorted(bench.journal.due(Lane.REALTIME, _STALE, limit=9)[1])
    assert parts == [f"{chunk_id}.0-317", f"{chunk_id}.317-318", f"{chunk_id}.318-500"]


def test_a_chunk_that_is_too_much_for_a_worker_ends_judged(engine: Engine, redis_client: Redis) -> None:
    """
    One whose worker is ended three times by its time limit is judged in halves, and nothing of it is dead.
    """
    chunk_id = accepted(Journal(redis_client), *(event(tool="os_shell") for _ in range(4)))
    for _ in range(3):
        with pytest.raises(Killed):
            detect.run(chunk_id, make_bench(redis_client, engine, fuse=Fuse(at="scan"), lease_seconds=_EXPIRED))

    _drain(make_bench(redis_client, engine))

    assert _final(engine) == ([0, 1, 2, 3], [])


def test_halves_take_the_place_of_their_chunk(engine: Engine, redis_client: Redis) -> None:
    """
    They keep its stamps, its acceptor and its upload; nothing is accepted twice, and the next sweep rings for them.
    """
    bench = _poisoned(redis_client, engine)
    upload_id = str(new_uuid())
    body = encode(Chunk([AcceptedEvent(1, event(name)) for name in ("poison", "b", "c")], upload_id=upload_id))
    chunk_id = new_uuid().hex
    stamp = accept(bench.journal, "somebody", 1, [NewChunk(chunk_id, Lane.BULK, 3, body, upload_id)])
    _exhausted(bench, chunk_id)

    assert detect.run(chunk_id, bench) is Ending.SPLIT

    assert rows(engine, "SELECT chunk_id, state, events, judged, dead FROM chunks") == [(chunk_id, "split", 3, 0, 0)]
    names = ["lane", "events", "upload", "at", "acceptor", "ring", "attempts"]
    for half, count in ((".0-1", 1), (".1-3", 2)):
        fields = redis_client.hmget(f"sentinel:entry:{chunk_id}{half}", names)
        expected = ["bulk", count, upload_id, stamp, "somebody", stamp, 0]
        assert fields == [str(value).encode() for value in expected]
    assert redis_client.exists(f"sentinel:entry:{chunk_id}") == 0
    assert sorted(bench.journal.due(Lane.BULK, _STALE, limit=10)[1]) == [f"{chunk_id}.0-1", f"{chunk_id}.1-3"]
    read = ledger.read(engine, bench.journal)
    assert (read.accepted, read.in_flight, read.deficit) == (3, 3, 0)
    assert bench.journal.in_flight() == 3
    assert waiting_bytes(bench.journal, Lane.BULK) > 0


@pytest.mark.parametrize("step", range(_STEPS + 1))
def test_a_kill_while_splitting_neither_loses_nor_doubles(engine: Engine, redis_client: Redis, step: int) -> None:
    """
    Wherever the splitting worker dies, the ledger balances before and after, and each event has one end.
    """
    bench = _poisoned(redis_client, engine)
    chunk_id = accepted(bench.journal, event("poison"), event(), event())
    _exhausted(bench, chunk_id)
    fuse = Fuse(at=step)
    with kills(engine, fuse):
        detect.run(chunk_id, make_bench(redis_client, engine, fuse=fuse, lease_seconds=_EXPIRED))
    assert len(fuse.steps) == min(step + 1, _STEPS), fuse.steps

    _drain(bench)

    assert _final(engine) == ([1, 2], [f"{chunk_id}.0"])


def test_a_worker_that_thaws_after_the_split_finishes_it(engine: Engine, redis_client: Redis) -> None:
    """
    It finds the chunk split, not settled: taking the chunk out then would lose the events of halves not put in yet.
    """
    chunk_id = accepted(Journal(redis_client), event("poison"), event())
    bench = _poisoned(redis_client, engine)
    zombie = make_bench(redis_client, engine)
    frozen = Journal(redis_client, lease_seconds=_EXPIRED).lease(chunk_id, "zombie")
    assert frozen is not None
    for _ in range(2):  # the frozen one's lease ran out: it counts as the first attempt
        assert detect.run(chunk_id, bench) is Ending.FAILED
    fuse = Fuse(at="before split")
    with kills(engine, fuse):
        detect.run(chunk_id, make_bench(redis_client, engine, fuse=fuse, lease_seconds=_EXPIRED))
    assert fuse.steps[-1] == "before split"

    outcome, summary = detect._judge([frozen], zombie)
    assert (outcome, summary.chunks, summary.split) == (Ending.JUDGED, 0, frozenset({chunk_id}))
    zombie.journal.split(chunk_id, detect._parts(frozen))

    _drain(bench)
    assert _final(engine) == ([1], [f"{chunk_id}.0"])


def test_a_second_split_changes_nothing(engine: Engine, redis_client: Redis) -> None:
    """
    Once the chunk is gone from the journal, its halves may be settled, and must not come back.
    """
    bench = _poisoned(redis_client, engine)
    chunk_id = accepted(bench.journal, event("poison"), event())
    frozen = Journal(redis_client, lease_seconds=_EXPIRED).lease(chunk_id, "zombie")
    assert frozen is not None
    _drain(bench)

    assert bench.journal.split(chunk_id, detect._parts(frozen)) is False

    assert redis_client.keys("sentinel:entry:*") == []
    assert ledger.read(engine, bench.journal).in_flight == 0


def test_refused_records_are_kept_when_their_chunk_is_split(engine: Engine, redis_client: Redis) -> None:
    """
    They travel with the first half, and are written down once.
    """
    bench = _poisoned(redis_client, engine)
    events = [AcceptedEvent(1, event(prompt)) for prompt in ("a", "poison")]
    chunk = Chunk(events, [RejectedRecord("b", 7, "", "", "")])
    accept(bench.journal, "test", 1, [NewChunk(new_uuid().hex, Lane.REALTIME, 2, encode(chunk))])

    _drain(bench)

    assert rows(engine, 'SELECT source, "index" FROM rejections') == [("b", 7)]


def test_a_batch_is_told_truly_while_its_chunk_is_split(engine: Engine, redis_client: Redis) -> None:
    """
    It is never unknown, under way until each of its events has an end, and then says which end.
    """
    bench = _poisoned(redis_client, engine)
    chunk_id = accepted(bench.journal, *map(event, ("poison", "b", "c", "d")))
    batch = BatchId(ChunkId.parse(chunk_id).root, 0, 4)
    told = []
    for _ in range(100):
        status = batches.status(engine, bench.journal, batch)
        assert status is not None
        told.append((str(status.state), status.judged, status.dead))
        if not (entries := bench.journal.due(Lane.REALTIME, _STALE, limit=1)[1]):
            break
        detect.run(entries[0], bench)

    assert told[0] == ("queued", 0, 0)
    assert told[-1] == ("done", 3, 1)
    assert {state for state, *_ in told[1:-1]} <= {"queued", "processing"}
    assert one(engine, "SELECT count(*) FROM chunks WHERE state = 'split'") == 1
