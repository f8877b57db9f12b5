"""Real code, one step at a time: an actor stops before each of its steps, and is told how the step goes."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

import psycopg2
from redis import Redis
from sqlalchemy import Engine
from sqlalchemy import event as events

from pipeline.errors import JournalUnavailable, PipelineError, QueueUnavailable
from pipeline.journal import Journal, Lane
from pipeline.storage import make_engine
from tests.integration.pipeline.bench import Killed

_PATIENCE = 30.0
# What waits for a lock here waits for somebody who is frozen.
_HASTE = "SET synchronous_commit = off; SET lock_timeout = '20ms'"


class Way(StrEnum):
    """How a step goes."""

    RUN = "run"
    KILLED = "killed"  # kill -9 in front of it
    FROZEN = "frozen"  # somebody else goes on, for as long as it takes
    UNSENT = "unsent"  # the server never hears of it, the caller of an outage
    UNANSWERED = "unanswered"  # the server does it, the caller hears of an outage
    LATE = "late"  # the caller hears of an outage, the server of the step when all else is done
    TWICE = "twice"  # the broker delivers it two times


_here = threading.local()


def step(label: str, *ways: Way) -> Way:
    """Stop before a step that may go in these ways, too. Whoever is no actor runs on."""
    actor: Actor | None = getattr(_here, "actor", None)
    return Way.RUN if actor is None else actor.stop(label, ways)


def note(found: object) -> None:
    """Remember what the actor at work has just learnt: it decides what it does next."""
    if actor := getattr(_here, "actor", None):
        actor.history.append(str(found))


class Actor(threading.Thread):
    """One process: it runs only while the test lets it, so that one of all actors runs at any time."""

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        """Prepare; nothing runs."""
        super().__init__(name=name, daemon=True)
        self.history: list[str] = [name]
        self.label, self.ways = "", tuple[Way, ...]()
        self.error: BaseException | None = None
        self.done = False
        self._work, self._way, self._is_killed = work, Way.RUN, False
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)

    def begin(self) -> None:
        """Run to the first step."""
        self.start()
        self._wait()

    def go(self, way: Way) -> None:
        """Let the step go this way, and run to the next one."""
        self._way, self._is_killed = way, self._is_killed or way is Way.KILLED
        self.history.append(f"{self.label} {way}")
        self._go.release()
        self._wait()

    def stop(self, label: str, ways: tuple[Way, ...]) -> Way:
        """Wait to be told how the step goes."""
        if not self._is_killed:
            self.label, self.ways = label, ways
            self._stopped.release()
            self._go.acquire()
        if self._is_killed:
            raise Killed
        return self._way

    def run(self) -> None:
        """Do the work, as a task does it: an outage is no error."""
        _here.actor = self
        try:
            self._work()
        except (Killed, PipelineError):
            pass
        except BaseException as error:  # noqa: BLE001 - the test shows it
            self.error = None if self._is_killed else error
        finally:
            self.done = True
            self._stopped.release()

    def _wait(self) -> None:
        assert self._stopped.acquire(timeout=_PATIENCE), f"{self.name} hangs after {self.history}"


class SteppedJournal(Journal):
    """The real journal, each of whose scripts is a step."""

    late: list[Callable[[], object]]

    def _run(self, name: str, arguments: Any) -> Any:
        if name == "reach":  # it decides where a chunk is cut, and any cut will do
            return super()._run(name, arguments)
        way = step(name, Way.UNSENT, Way.UNANSWERED, Way.LATE)
        if way is Way.LATE:
            self.late.append(lambda: Journal._run(self, name, arguments))
        if way in (Way.UNSENT, Way.LATE):
            raise JournalUnavailable(way)
        found = super()._run(name, arguments)
        note(_gist(found))
        if way is Way.UNANSWERED:
            raise JournalUnavailable(way)
        return found

    def read(self) -> Any:
        """Read for the ledger, which reads PostgreSQL in a step of its own."""
        found = super().read()
        step("look again")
        return found

    def chunk_events(self, chunk_ids: Sequence[str]) -> Any:
        """Look for what is there, or gone since."""
        found = super().chunk_events(chunk_ids)
        step("read PostgreSQL")
        return found


def _gist(found: Any) -> object:
    """Return what a reply says beside times; most scripts say nothing."""
    if found is None:
        return None
    if isinstance(found, int):
        return bool(found)
    if found and found[0] in (b"leased", b"exhausted"):
        fields = dict(zip(found[1][::2], found[1][1::2], strict=True))
        return found[0], *(fields.get(name) for name in (b"attempts", b"checkpoint", b"finished"))
    return [item for item in found if not str(item).lstrip("b'").startswith("1")]


def stepped_engine(url: str) -> Engine:
    """Return an engine whose transactions have two steps: one in front of everything, one in front of the commit."""
    engine = make_engine(url, pool_size=1, application="sentinel-actor")
    events.listen(engine, "connect", lambda connection, _: _hasten(connection))
    events.listen(engine, "begin", lambda _: step("begin"))
    real = engine.dialect.do_commit

    def commit(connection: Any) -> None:
        way = step("commit", Way.UNSENT, Way.UNANSWERED)
        if way is not Way.UNSENT:
            real(connection)
        if way is not Way.RUN:
            raise psycopg2.OperationalError(str(way))

    engine.dialect.do_commit = commit  # type: ignore[method-assign, assignment]
    return engine


def _hasten(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_HASTE)
    connection.commit()


class Bells:
    """The queues: real lists, which the real sweep looks at, with no Celery behind them."""

    def __init__(self, redis: Redis) -> None:
        """Use ``redis``."""
        self._redis = redis

    def ring(self, lane: Lane, entries: Sequence[str], stamp: int) -> None:
        """Ring for entries."""
        for entry in entries:
            way = step(f"ring {entry}", Way.UNSENT, Way.UNANSWERED, Way.TWICE)
            if way is Way.UNSENT:
                raise QueueUnavailable(way)
            message = json.dumps({"headers": {"ring": stamp, "chunk": entry}, "entry": entry})
            self._redis.lpush(lane, *[message] * (2 if way is Way.TWICE else 1))
            if way is Way.UNANSWERED:
                raise QueueUnavailable(way)

    def take(self) -> str | None:
        """Take the oldest doorbell, of the real-time lane first."""
        for lane in Lane:
            if message := self._redis.rpop(lane):
                return _rung_for(message)[0]
        return None

    def useless(self, most: int) -> list[str]:
        """Return for what too many doorbells wait."""
        found = Counter(entry for entry, _ in self.waiting())
        return [f"{count} doorbells wait for {entry}" for entry, count in found.items() if count > most]

    def waiting(self) -> list[tuple[str, int]]:
        """Return the doorbells that wait, the newest first: the entry, and the stamp."""
        return [_rung_for(message) for lane in Lane for message in self._redis.lrange(lane, 0, -1)]


def _rung_for(message: Any) -> tuple[str, int]:
    read = json.loads(message)
    return str(read.get("entry") or read["headers"]["chunk"]), int(read["headers"]["ring"])
