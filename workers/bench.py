"""What one worker process works with, made when its first task arrives: after the fork, never before."""

import math
import os
import secrets
import time
from collections.abc import Callable, Sequence
from functools import cache

from detection import Event, Scanner, Severity, probes
from pipeline import health
from pipeline.journal import Journal, connect
from pipeline.pulses import Pulse
from pipeline.queue import Queue
from pipeline.rules import Rules
from pipeline.settings import PipeSettings
from pipeline.storage import make_engine
from workers import detect
from workers.detect import Bench, Ending
from workers.split import SplitBench

_NOTIFY_SECONDS, _NOTIFY_LIVE_SECONDS = 1.0, 0.25
_PROBES = 8
# A call of Redis that is in vain has to end well before its task's time is up, which would cost the process.
_REDIS_SECONDS = 2.0


class Worker:
    """Connections, rules and settings of this process."""

    def __init__(self, pipe: PipeSettings) -> None:
        """Make the parts; connections are made when they are used, rules loaded when something is to be judged."""
        self.pipe = pipe
        self.redis = connect(pipe.redis_url.get_secret_value(), timeout=_REDIS_SECONDS)
        self.engine = make_engine(pipe.database_url.get_secret_value(), pool_size=1, application="sentinel-worker")
        self.journal = Journal(self.redis, max_attempts=pipe.max_attempts)
        self.holder = f"{family()}.{os.getpid()}."
        self.splitter = f"splitter-{os.getpid()}-{secrets.token_hex(4)}"
        self.pulse = Pulse(self.redis)
        self._acknowledged: dict[int, int] = {}
        self._company = True
        self._notified = -math.inf

    def detect(self, chunk_id: str, notify: Callable[[], None]) -> None:
        """Judge a chunk, with others unless the last one had to be put off: an outage must not mark whom it meets.

        Raises:
            JournalUnavailable: Redis is away.
        """
        scanner, version = judge(self.pipe).now()
        send_from = Severity.parse(self.pipe.alert_min_severity)
        bench = Bench(
            self.journal, self.engine, scanner, version, send_from, notify, self._company, judge(self.pipe).attacks,
            self.holder,
        )  # fmt: skip
        self._company = detect.run(chunk_id, bench) is not Ending.POSTPONED

    def splitting(self, ring: Callable[[Sequence[str], int], None]) -> SplitBench:
        """Return what splitting needs."""
        return SplitBench(
            journal=self.journal,
            engine=self.engine,
            spool=self.pipe.spool,
            limits=self.pipe.record_limits,
            bulk_bytes=self.pipe.bulk_bytes,
            splitter=self.splitter,
            ring=ring,
            acknowledged=self._acknowledged,
            holder=self.holder,
        )

    def is_time_to_notify(self, queue: str) -> bool:
        """Say that the alert worker may be rung again: for a live event soon, for an upload, where nobody waits, later.

        Args:
            queue: whose chunk was judged.
        """
        now = time.monotonic()
        if now - self._notified < (_NOTIFY_LIVE_SECONDS if queue == Queue.REALTIME else _NOTIFY_SECONDS):
            return False
        self._notified = now
        return True


class Judge:
    """The rules in force in this process, and a scanner over them."""

    def __init__(self, pipe: PipeSettings) -> None:
        self.rules = Rules(pipe)
        self._scanner = Scanner(self.rules.rule_set, remembers=True)
        self._of = self.rules.rule_set

    def now(self) -> tuple[Scanner, str]:
        """Return the scanner over the rules in force at this moment, and their digest."""
        if self._of is not (rule_set := self.rules.rule_set):
            self._scanner, self._of = Scanner(rule_set, remembers=True), rule_set
        return self._scanner, self._of.version

    def attacks(self) -> Sequence[Event]:
        """Return a few attacks that the rules in force must see."""
        return probes(self._of, most=_PROBES)


@cache
def family() -> str:
    """Name a worker's main process with its children; it has to be asked before they are forked."""
    return secrets.token_hex(4)


def bury_children(pipe: PipeSettings) -> int:
    """Have what children of this process held when they died judged by others at once. Returns how many leases ended.

    Raises:
        JournalUnavailable: Redis is away; the leases run out by themselves.
    """
    ours = family()  # before anything is asked of Redis: this is called before each fork, the first one too

    def is_dead(token: str) -> bool:
        name, *rest = token.split(".")
        return name == ours and not _lives(int(rest[0]))

    with connect(pipe.redis_url.get_secret_value(), timeout=1.0) as redis:
        return Journal(redis).bereave(is_dead)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@cache
def judge(pipe: PipeSettings) -> Judge:
    """Return the one of this process.

    A worker's main process makes it before it forks: its children share the memory, and one that died is replaced
    without delay.
    """
    return Judge(pipe)


def follow_rules(pipe: PipeSettings, part: str) -> None:
    """Have the rules of this process follow their files, and tell others what is in force here."""
    judge(pipe).rules.follow(health.rules_teller(connect(pipe.redis_url.get_secret_value()), part))


@cache
def worker() -> Worker:
    """Return the one of this process."""
    return Worker(PipeSettings())
