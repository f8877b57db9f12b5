"""What one worker process works with, made when its first task arrives: after the fork, never before."""

import os
import secrets
import time
from collections.abc import Callable, Sequence
from functools import cache

from detection import Scanner, Severity, load_rule_set
from pipeline import health
from pipeline.journal import Journal, connect
from pipeline.settings import PipeSettings
from pipeline.storage import make_engine
from workers.detect import Bench
from workers.settings import WorkerSettings
from workers.split import SplitBench

_PULSE_SECONDS = 1.0


class Worker:
    """Connections, rules and settings of this process."""

    def __init__(self, pipe: PipeSettings, own: WorkerSettings) -> None:
        """Load the rules; connections are made when they are used."""
        self.pipe, self.own = pipe, own
        self.redis = connect(pipe.redis_url.get_secret_value())
        self.engine = make_engine(pipe.database_url.get_secret_value(), pool_size=1, application="sentinel-worker")
        self.journal = Journal(self.redis, lease_seconds=pipe.lease_seconds, max_attempts=pipe.max_attempts)
        self.rule_set = load_rule_set(*([pipe.packs] if pipe.packs else []))
        self.scanner = Scanner(self.rule_set)
        self.splitter = f"splitter-{os.getpid()}-{secrets.token_hex(4)}"
        self._pulsed: dict[str, float] = {}

    def detecting(self, notify: Callable[[], None]) -> Bench:
        """Return what detecting needs."""
        send_from = Severity.parse(self.pipe.alert_min_severity)
        return Bench(self.journal, self.engine, self.scanner, self.rule_set.version, send_from, notify)

    def splitting(self, ring: Callable[[Sequence[str], int], None]) -> SplitBench:
        """Return what splitting needs."""
        return SplitBench(
            journal=self.journal,
            engine=self.engine,
            spool=self.pipe.spool,
            limits=self.pipe.record_limits,
            chunk_events=self.pipe.chunk_events,
            chunk_bytes=self.pipe.chunk_bytes,
            bulk_bytes=self.pipe.bulk_bytes,
            slice_seconds=self.own.slice_seconds,
            splitter=self.splitter,
            ring=ring,
        )

    def pulse(self, part: str) -> None:
        """Give a sign of life for a queue, once a second at most.

        Raises:
            JournalUnavailable: Redis is away.
        """
        now = time.monotonic()
        if now - self._pulsed.get(part, -_PULSE_SECONDS) >= _PULSE_SECONDS:
            health.pulse(self.redis, part)
            self._pulsed[part] = now


@cache
def worker() -> Worker:
    """Return the one of this process."""
    return Worker(PipeSettings(), WorkerSettings())
