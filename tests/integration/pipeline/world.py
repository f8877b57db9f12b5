"""A small installation to be explored: its processes are actors, its servers real, and time passes when told to."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from redis import Redis
from sqlalchemy import Engine, text

from detection import Event, Verdict
from pipeline.journal import Journal, Lane
from pipeline.storage import ledger
from tests.integration.pipeline.bench import Killed, make_bench
from tests.integration.pipeline.stepping import Actor, Bells, SteppedJournal, Way, step, stepped_engine
from workers import detect, sweep
from workers.detect import Scans

_TABLES = (
    "chunks", "events", "findings", "alerts", "outbox", "tallies", "dead_letters", "witness", "rejections", "uploads",
)  # fmt: skip
_EMPTY = ";".join(f"DELETE FROM {table}" for table in _TABLES)
_STORED = (
    "SELECT 'verdict' AS kind, replace(chunk::text, '-', '') || '.' || position AS id, 0 AS number FROM events "
    "UNION ALL SELECT 'dead', event_id, reruns FROM dead_letters UNION ALL SELECT state, chunk_id, judged FROM chunks "
    "UNION ALL SELECT 'rejected', source, index FROM rejections UNION ALL SELECT state, file_name, 0 FROM uploads "
    "ORDER BY 1, 2, 3"
)
# The parts of a chunk are settled in the second in which it was accepted, where the witness looks for them.
_STAMPED_ANEW = (
    "SELECT left(chunk_id, 32) FROM chunks WHERE chunk_id NOT LIKE '%~%' "
    "GROUP BY 1 HAVING count(DISTINCT accepted_at) > 1"
)
_KNOWN = (
    b"attempts",
    b"begun",
    b"company",
    b"checkpoint",
    b"index",
    b"accepted",
    b"finished",
    b"reached",
    b"void",
    b"at",
)
# PostgreSQL does that to whoever is frozen in the middle of a transaction: idle_in_transaction_session_timeout.
_END_IDLE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE application_name = 'sentinel-actor' AND state = 'idle in transaction'"
)
_ROUNDS_IDLE = 5
_AGE = 2_000_000
_LONG_AGO = 1
_SWEEPING, _READING = "sweep", "read the ledger"
POISON = "poison"
Plot = list[tuple[str, Callable[[], object]]]


@dataclass
class Wording:
    """The product's own steps; a test puts another wording of one in its place, to see that it is found out."""

    journal: type[SteppedJournal] = SteppedJournal
    detect: Callable[..., object] = detect.run
    sweep: Callable[..., object] = sweep.run
    accept: Callable[..., bool] | None = None
    rerun: Callable[..., object] | None = None


class World(ABC):
    """Two workers, two sweepers, a reader of the ledger, and who gives them work."""

    attempts = 2

    def __init__(self, redis: Redis, engine: Engine, url: str, wording: Wording | None = None) -> None:
        """Use real servers; ``engine`` is for looking, each actor has one of its own."""
        self.redis: Any = redis
        self.wording = wording or Wording()
        self.engines = {name: stepped_engine(url) for name in ("W1", "W2", "S1", "S2", "A", "L")}
        self.journal = self.wording.journal(redis, max_attempts=self.attempts)
        self.journal.late = []
        self._engine, self._plain = engine, Journal(redis)
        self._eyes = engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def close(self) -> None:
        """Give the connections back."""
        self._eyes.close()
        for engine in self.engines.values():
            engine.dispose()

    # -- what the exploration asks for

    def begin(self) -> None:
        """Empty the servers, and stand at the first decision."""
        self.redis.flushdb()
        self._eyes.execute(text(_EMPTY))
        self.journal.late.clear()
        self.bells = Bells(self.redis)
        self.acknowledged: set[str] = set()
        self.disturbed: Counter[str] = Counter()
        self.mended = False
        self._rounds = 0
        self.current: Actor | None = None
        self.frozen: list[Actor] = []
        self._wrong: list[str] = []
        self.plot = self.planned()
        self._advance()

    def choices(self) -> list[str]:
        """Return how the step under way can go, the undisturbed way first, and what else can happen before it."""
        if self.current is None:
            return []
        here = f"{self.current.name} {self.current.label}: "
        ways = [here + way for way in (Way.RUN, Way.KILLED, Way.FROZEN, *self.current.ways)]
        ways += [f"thaw {actor.name}" for actor in self.frozen]
        ways += ["deliver late"] if self.journal.late else []
        busy = {self.current.name, *(actor.name for actor in self.frozen)}
        return ways + [what for what, name in ((_SWEEPING, "S2"), (_READING, "L")) if name not in busy]

    def take(self, choice: str) -> None:
        """Let it happen."""
        assert self.current is not None
        actor, way = self.current, choice.rpartition(": ")[2]
        if way != Way.RUN:
            self.disturbed[f"{actor.label} {way}" if actor.label == "lease" else way] += 1
        if choice == "deliver late":
            self.journal.late.pop(0)()
        elif choice.startswith("thaw "):
            chosen = next(found for found in self.frozen if found.name == choice[5:])
            self.frozen.remove(chosen)
            self._freeze()
            self.current = chosen
        elif choice in (_SWEEPING, _READING):
            self._freeze()
            self.start(*(("S2", self._sweep) if choice == _SWEEPING else ("L", self._read)))
        elif way == Way.FROZEN:
            self._freeze()
        else:
            actor.go(Way(way))
        self._advance()

    def state(self) -> Hashable:
        """Return everything on which the future depends, without times."""
        waiting, journal = self.bells.waiting(), []
        for key in sorted(self._entries()):
            fields = self.redis.hgetall(key)
            rung = tuple(stamp == int(fields[b"ring"]) for entry, stamp in waiting if key.decode().endswith(entry))
            lease = fields.get(b"lease")
            known = [*(fields.get(name) for name in _KNOWN[:-1]), b"void" in fields]
            journal.append((key, *known, lease and int(lease) > _LONG_AGO, rung))
        return (
            tuple(journal), tuple(entry for entry, _ in waiting),
            tuple(sorted(self.redis.hgetall("sentinel:ledger").items())),
            tuple(map(tuple, self._eyes.execute(text(_STORED)))),
            tuple((actor.label, *actor.history) for actor in (self.current, *self.frozen) if actor),
            (len(self.plot), self.mended, len(self.journal.late), frozenset(self.acknowledged)),
            (self.attributable, self._slack, tuple(self._wrong)),
        )  # fmt: skip

    def faults(self, *, at_rest: bool) -> list[str]:
        """Return which promises are broken."""
        found = self._wrong + self.bells.useless(1 + self._slack)
        return found + (self.broken() + self._unbalanced() if at_rest else [])

    def end(self) -> None:
        """Kill whoever is left."""
        for actor in [*self.frozen, *([self.current] if self.current else [])]:
            while not actor.done:
                actor.go(Way.KILLED)

    # -- what a world is made of

    @abstractmethod
    def planned(self) -> Plot:
        """Return who gives work, and how, in order."""

    @abstractmethod
    def broken(self) -> list[str]:
        """Return which promises to clients are broken, now that all is at rest."""

    def work(self, entry: str, name: str) -> None:
        """Do what a doorbell asks for."""
        bench = make_bench(self.redis, self.engines[name])
        scanner = Scanner(self, bench.scanner)
        self.wording.detect(entry, replace(bench, journal=self.journal, scanner=scanner))

    def afterwards(self) -> Plot:
        """Return what somebody does when all is done."""
        return []

    def is_deadly(self, _: Event) -> str:
        """Return what an event does to whoever scans it; empty for most."""
        return ""

    def ring(self, lane: Lane, entries: Sequence[str], stamp: int) -> None:
        """Ring; a doorbell names what is in the journal, or was settled since."""
        settled = {row[1] for row in self._eyes.execute(text(_STORED))}
        for entry in entries:
            if not self.redis.exists(f"sentinel:entry:{entry}") and not any(entry.endswith(name) for name in settled):
                self._wrong.append(f"{entry} is rung for before it is in the journal")
        self.bells.ring(lane, entries, stamp)

    def start(self, name: str, work: Callable[[], object]) -> None:
        """Let somebody begin."""
        self.current = Actor(name, work)
        self.current.begin()

    def stored(self, kind: str) -> Counter[str]:
        """Return what is stored of a kind: "verdict", "dead", or "rejected"."""
        return Counter(row[1] for row in self._eyes.execute(text(_STORED)) if row[0] == kind)

    def column(self, query: str) -> list[object]:
        """Return what a query finds."""
        return list(self._eyes.execute(text(query)).scalars())

    @property
    def attributable(self) -> int:
        """How many disturbances so far may have cost an attempt: somebody was killed, or was away too long."""
        lost = {f"lease {Way.KILLED}", f"lease {Way.FROZEN}", Way.KILLED, Way.FROZEN}
        others = ("thaw", _SWEEPING, _READING)
        return sum(count for what, count in self.disturbed.items() if what in lost or what.startswith(others))

    @property
    def _slack(self) -> int:
        """How many doorbells too many the disturbances so far excuse: looking and sweeping excuse none."""
        return self.disturbed.total() - self.disturbed[_SWEEPING] - self.disturbed[_READING]

    def _advance(self) -> None:
        for _ in range(100):
            if self.current and self.current.done:
                if self.current.error:
                    self._wrong.append(f"{self.current.name} failed: {self.current.error!r}")
                self.current = None
            if self.current or self._wrong or not self._next():
                return

    def _next(self) -> bool:
        """Find who goes on: whoever is rung for, the plot, the sweep once time has passed, and at last the frozen."""
        busy = {actor.name for actor in self.frozen}
        free = next((name for name in ("W1", "W2") if name not in busy), None)
        if free and (entry := self.bells.take()):
            self.start(free, lambda: self._answer(entry, free))
        elif self.plot and self.plot[0][0] not in busy:
            self.start(*self.plot.pop(0))
        elif free and "S1" not in busy and self._entries():
            self._pass_time()
            self.start("S1", self._sweep)
        elif self.frozen:
            self.current = self.frozen.pop(0)
        elif self.journal.late:
            self.journal.late.pop(0)()
        else:
            self.plot = self.afterwards()
            return bool(self.plot)
        return True

    def _answer(self, entry: str, name: str) -> None:
        step(f"take {entry}")
        self.work(entry, name)

    def _freeze(self) -> None:
        if self.current:
            self.frozen.append(self.current)
        self.current = None

    def _pass_time(self) -> None:
        """Let every lease run out, and every doorbell be rung long ago; and at last what idles in a transaction end."""
        self._rounds += 1
        if self._rounds % _ROUNDS_IDLE == 0:
            self._eyes.execute(text(_END_IDLE))
        for lane in Lane:
            for entry in self.redis.zrange(f"sentinel:leased:{lane}", 0, -1):
                self.redis.hset(f"sentinel:entry:{entry.decode()}", "lease", _LONG_AGO)
                self.redis.zadd(f"sentinel:leased:{lane}", {entry: _LONG_AGO})
            for entry, stamp in self.redis.zrange(f"sentinel:rung:{lane}", 0, -1, withscores=True):
                self.redis.hset(f"sentinel:entry:{entry.decode()}", "ring", int(stamp) - _AGE)
                self.redis.zadd(f"sentinel:rung:{lane}", {entry: int(stamp) - _AGE})

    def _sweep(self) -> None:
        self.wording.sweep(self.redis, self.journal, self.ring)

    def _read(self) -> None:
        found = ledger.read(self.engines["L"], self.journal)
        if found.deficit or found.surplus:
            self._wrong.append(f"the ledger was read as {found}")

    def _entries(self) -> list[bytes]:
        return list(self.redis.keys("sentinel:entry:*"))

    def _unbalanced(self) -> list[str]:
        found = ledger.read(self._engine, self._plain)
        settled = found.judged + found.duplicates + found.dead
        faults = [] if found.accepted == settled else [f"the ledger does not balance at rest: {found}"]
        faults += [f"{key.decode()} never leaves the journal" for key in self._entries()]
        left = self.redis.hvals("sentinel:bytes") + self.redis.hvals("sentinel:weights")
        faults += [f"the journal forgot to forget: {left}"] if any(int(value.split()[0]) for value in left) else []
        faults += [f"the witness looks for parts of {chunk} elsewhere" for chunk in self.column(_STAMPED_ANEW)]
        flagged = self.column("SELECT count(*) FROM events WHERE severity IS NOT NULL")
        alerts = self.column("SELECT count(*) FROM alerts")
        return faults + ([f"{flagged} events are flagged, {alerts} have an alert"] if flagged != alerts else [])


class Scanner:
    """The real scanner, and the poison."""

    def __init__(self, world: World, real: Scans) -> None:
        self._world, self._real = world, real

    def scan(self, event: Event) -> Verdict:
        """Judge one event, unless it is deadly."""
        if (deadly := self._world.is_deadly(event)) == "kills":
            raise Killed
        if deadly == "raises":
            message = "the rule failed"
            raise RuntimeError(message)
        return self._real.scan(event)
