"""Health: whether each part did something lately, and how old the oldest unjudged event is; not what is alive."""

import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import msgspec
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine, text

from detection import RuleError
from pipeline import pulses
from pipeline._scripts import translated
from pipeline._transport import SET_ASIDE
from pipeline.errors import StorageUnavailable
from pipeline.journal import Journal, Lane
from pipeline.queue import Queue, waiting
from pipeline.storage import canaries, dead_letters, incidents, ledger, transaction
from pipeline.storage.canaries import Flight
from pipeline.storage.incidents import Incident

if TYPE_CHECKING:
    from pipeline.rules import InForce, Tell  # with it comes the compiler, which most processes do without

_RULES = "sentinel:rules"
_FORGOTTEN_SECONDS = 3600.0
_MOST_FAULTS = 50
_LANE_IDLE_SECONDS = 10.0
_IDLE_SECONDS = 60.0  # a slice of alerts, or two long tasks of upkeep side by side, end before
_INCIDENTS = 20
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """One queue: messages waiting, chunks open, age of the oldest unjudged event, and the last sign of its worker.

    ``idle_seconds`` says how long ago its worker last took something up: on a lane an entry of the journal, elsewhere
    any task. It is None where that never happened.
    """

    name: str
    waiting: int
    open_chunks: int
    oldest_seconds: float
    worker_alive: bool
    pulse_seconds: float | None
    idle_seconds: float | None

    @property
    def is_idle(self) -> bool:
        """Whether nothing was taken up for longer than a worker that works needs for one thing."""
        longest = _LANE_IDLE_SECONDS if self.name in set(Lane) else _IDLE_SECONDS
        return self.idle_seconds is None or self.idle_seconds >= longest

    @property
    def is_stuck(self) -> bool:
        """Whether something waits and nobody takes it up. A worker that is merely behind takes up all the while."""
        if self.name in set(Lane):
            return self.oldest_seconds >= _LANE_IDLE_SECONDS and self.is_idle
        return self.waiting > 0 and self.pulse_seconds is not None and self.is_idle


@dataclass(frozen=True, slots=True)
class RulesReport:
    """Which rules one process uses, since when, and what is wrong with the files that it should use."""

    process: str
    rule_set: str
    since: datetime
    faults: list[RuleError]
    more_faults: int
    at: float


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """The whole pipe at one moment, as operators see it."""

    queues: list[QueueStatus]
    ledger: dict[str, Any] | None
    durability: str
    storage_ok: bool
    redis_memory_share: float
    set_aside: int
    dead_letters: int
    beat_alive: bool
    rules: list[RulesReport]
    incidents: Sequence[Incident]
    canaries: Mapping[str, Flight]


_decoder = msgspec.json.Decoder(RulesReport)


def rules_teller(redis: Redis, part: str) -> "Tell":
    """Return what tells which rules this process uses, and takes that back; while Redis is away it tells nobody."""
    process = f"{part}@{socket.gethostname()}/{os.getpid()}"

    def tell(now: "InForce | None") -> None:
        with suppress(RedisError):
            if now is None:
                redis.hdel(_RULES, process)
                return
            more = max(0, len(now.faults) - _MOST_FAULTS)
            faults = list(now.faults[:_MOST_FAULTS])
            seconds, _ = redis.time()
            report = RulesReport(process, now.rule_set.version, now.since, faults, more, float(seconds))
            redis.hset(_RULES, process, _encoder.encode(report))

    return tell


def rules_reports(redis: Redis) -> list[RulesReport]:
    """Return which rules every process uses that is there; those that are long gone are forgotten.

    Raises:
        JournalUnavailable: Redis is away.
    """
    with translated():
        seconds, _ = redis.time()
        found = cast("dict[bytes, bytes]", redis.hgetall(_RULES))
        reports = [_decoder.decode(report) for report in found.values()]
        if gone := [report.process for report in reports if seconds - report.at > _FORGOTTEN_SECONDS]:
            redis.hdel(_RULES, *gone)
    return sorted((each for each in reports if pulses.is_alive(seconds - each.at)), key=lambda report: report.process)


def storage_works(engine: Engine) -> bool:
    """Say whether PostgreSQL answers."""
    try:
        with transaction(engine) as connection:
            connection.execute(text("SELECT 1"))
    except StorageUnavailable:
        return False
    return True


def journal_accepts(redis: Redis) -> bool:
    """Say whether Redis takes a write."""
    try:
        return bool(redis.set("sentinel:probe", 1, ex=60))
    except RedisError:
        return False


def durability(redis: Redis) -> str:
    """Say in words what a 202 survives, from the settings that the server itself reports."""
    try:
        memory = cast("dict[str, str]", redis.config_get("maxmemory-policy", "appendonly", "appendfsync"))
    except RedisError as error:
        return f"Redis does not say how it keeps its data ({error}); how durable a 202 is cannot be known."
    if memory.get("maxmemory-policy") != "noeviction":
        return f"Redis may evict the journal (maxmemory-policy {memory.get('maxmemory-policy')}): a 202 can be lost."
    if memory.get("appendonly") != "yes":
        return "Redis keeps no append-only file: a 202 does not survive a restart of Redis."
    if memory.get("appendfsync") == "always":
        return "A 202 is on disk: it survives any crash, and a power cut as far as the disk keeps its word."
    return f"Redis writes its log {memory.get('appendfsync')}: a 202 survives a crash of processes, not a power cut."


def pipeline_status(redis: Redis, engine: Engine) -> PipelineStatus:
    """Read the state of the pipe; PostgreSQL may be away, Redis may not.

    Raises:
        JournalUnavailable: Redis is away.
    """
    journal = Journal(redis)
    with translated():
        memory = redis.info("memory")
        set_aside = redis.llen(SET_ASIDE)
    counted, buried = _counted(engine, journal)
    told, flights = _watched(engine)
    bound = int(memory.get("maxmemory", 0))
    return PipelineStatus(
        queues=queue_statuses(redis, journal),
        ledger=counted,
        durability=durability(redis),
        storage_ok=counted is not None,
        redis_memory_share=int(memory["used_memory"]) / bound if bound else 0.0,
        set_aside=set_aside,
        dead_letters=buried,
        beat_alive=pulses.is_alive(pulses.ages(redis).get(pulses.BEAT)),
        rules=rules_reports(redis),
        incidents=told,
        canaries=flights,
    )


def queue_statuses(redis: Redis, journal: Journal) -> list[QueueStatus]:
    """Return how each queue stands.

    Raises:
        JournalUnavailable: Redis is away.
    """
    ages = pulses.ages(redis)
    oldest, idle, opened = journal.oldest(), journal.idle(), journal.open_counts()
    with translated():
        lengths = waiting(redis)
    lanes = {lane.value: lane for lane in Lane}
    return [
        QueueStatus(
            name=queue,
            waiting=lengths[queue],
            open_chunks=opened[lane] if lane else 0,
            oldest_seconds=oldest[lane] if lane else 0.0,
            worker_alive=pulses.is_alive(ages.get(queue)),
            pulse_seconds=ages.get(queue),
            idle_seconds=idle[lane] if lane else ages.get(queue),
        )
        for queue in Queue
        for lane in [lanes.get(queue.value)]
    ]


def canary_flights(engine: Engine) -> Mapping[str, Flight]:
    """Return how the latest canary of each lane went; none where PostgreSQL is away."""
    return _watched(engine)[1]


def _watched(engine: Engine) -> tuple[Sequence[Incident], Mapping[str, Flight]]:
    try:
        with transaction(engine) as connection:
            return incidents.listing(connection, limit=_INCIDENTS), canaries.latest(connection)
    except StorageUnavailable:
        return (), {}


def _counted(engine: Engine, journal: Journal) -> tuple[dict[str, Any] | None, int]:
    try:
        counts = ledger.public(engine, journal)
        with transaction(engine) as connection:
            return counts, dead_letters.count(connection)
    except StorageUnavailable:
        return None, 0
