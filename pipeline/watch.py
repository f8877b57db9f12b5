"""The watch: what is wrong with the pipe itself, in words that say what, how much, since when, and who is concerned."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from redis import Redis
from sqlalchemy import Connection, Engine

from detection import Severity
from pipeline import health, pulses
from pipeline.health import QueueStatus
from pipeline.journal import Journal
from pipeline.queue import Queue
from pipeline.storage import canaries, incidents, ledger, losses, strays, transaction
from pipeline.storage.canaries import CanaryOutcome, Flight
from pipeline.storage.incidents import Condition, IncidentKind
from pipeline.storage.ledger import Audit

_SILENT_SECONDS = 30.0
_SHOWN = 5
_UNCOUNTED = "chunks"
_WATCHED = (IncidentKind.DEFICIT, IncidentKind.SURPLUS, IncidentKind.STUCK, IncidentKind.BLIND)


def run(redis: Redis, engine: Engine, journal: Journal, *, canary_seconds: int) -> int:
    """Look at everything that operators have to be told of. Returns how many announcements were laid out.

    Raises:
        JournalUnavailable, StorageUnavailable: one of them is away, and nothing is known.
    """
    audit = ledger.audit(engine, journal)
    queues = {queue.name: queue for queue in health.queue_statuses(redis, journal)}
    with transaction(engine) as connection:
        found = [*_deficits(connection, audit), *_surplus(connection, audit), *_stuck(queues.values())]
        if canary_seconds:
            found += _blind(canaries.latest(connection).values(), queues)
        return incidents.observe(connection, _WATCHED, found)


def over_the_watch(redis: Redis, engine: Engine) -> int:
    """Look whether anybody watches, from a process that stands apart. Returns how many announcements were laid out.

    Raises:
        JournalUnavailable, StorageUnavailable: one of them is away, and nothing is known.
    """
    age = pulses.ages(redis).get(Queue.MAINTENANCE)
    found = []
    if age is not None and age >= _SILENT_SECONDS:
        detail = (
            f"The worker of the queue maintenance, or the beat that rings for it, gave its last sign at {_ago(age)}."
        )
        found.append(Condition(IncidentKind.SILENT, Queue.MAINTENANCE, "Nothing watches the pipe", detail))
    with transaction(engine) as connection:
        return incidents.observe(connection, [IncidentKind.SILENT], found)


def _deficits(connection: Connection, audit: Audit) -> Iterator[Condition]:
    """Say what is missing: once for each acceptor and each time something was lost."""
    for loss in losses.told_apart(connection, audit.shortfalls):
        events, first, last = sum(cell.events for cell in loss), loss[0], loss[-1]
        span = _at(first.second) if first.second == last.second else f"{_at(first.second)} to {_at(last.second)}"
        yield Condition(
            IncidentKind.DEFICIT,
            f"{first.acceptor} {first.loss}",
            f"{_events(events)} acknowledged and lost",
            f"{_events(events)}, acknowledged by {first.acceptor} at {span}, are neither judged nor dead letters nor "
            "in the journal.",
            events,
            Severity.CRITICAL,
        )
    witnessed = sum(cell.events for cell in audit.shortfalls)
    if (events := audit.ledger.deficit - witnessed) > 0:
        yield Condition(
            IncidentKind.DEFICIT,
            "journal",
            f"{_events(events)} accepted and lost",
            f"{_events(events)} that Redis counted as accepted are neither judged nor dead letters nor in the journal, "
            "and no acceptor has reported them.",
            events,
            Severity.CRITICAL,
        )


def _surplus(connection: Connection, audit: Audit) -> Iterator[Condition]:
    known = strays.first_few(connection, limit=_SHOWN)
    if known:
        events = strays.count(connection)
        named = ", ".join(f"{chunk} ({rows})" for chunk, rows in known)
        yield Condition(
            IncidentKind.SURPLUS,
            "events",
            f"{_rows(events)} that nobody accepted",
            f"The table events holds {_rows(events)} whose chunk was never settled, or has fewer events. By chunk: "
            f"{named}{', …' if len(known) == _SHOWN else ''}.",
            events,
        )
    if (events := audit.ledger.surplus - strays.count(connection)) > 0:
        yield Condition(
            IncidentKind.SURPLUS,
            _UNCOUNTED,
            f"{_events(events)} settled that nobody accepted",
            f"PostgreSQL counts {_events(events)} as settled that Redis never counted as accepted.",
            events,
        )


def _stuck(queues: Iterable[QueueStatus]) -> Iterator[Condition]:
    for queue in queues:
        if queue.is_stuck:
            waits = f"its oldest event has waited since {_ago(queue.oldest_seconds)}" if queue.oldest_seconds else ""
            detail = f"On the queue {queue.name} nothing was taken up since {_ago(queue.idle_seconds)}"
            yield Condition(
                IncidentKind.STUCK,
                queue.name,
                f"The worker {queue.name} is stuck",
                f"{detail}, and {waits or f'{queue.waiting} messages wait'}.",
            )


def _blind(flights: Iterable[Flight], queues: Mapping[str, QueueStatus]) -> Iterator[Condition]:
    for flight in flights:
        if flight.is_seen:
            continue
        sent = f"A synthetic attack sent at {_at(flight.sent_at.timestamp())} on the lane {flight.lane}"
        queue = queues[flight.lane]
        if flight.outcome is CanaryOutcome.CLEAN:
            title, what = "are judged clean", "was judged clean: the rules in force see none of their own tests"
        elif flight.outcome is CanaryOutcome.FAILED:
            title, what = "cannot be judged", "failed every attempt to judge it"
        elif flight.outcome is CanaryOutcome.FLAGGED:
            title, what = "raise no alert", "was flagged, and its alert has not come to the alert worker"
        elif queue.is_idle:
            title, what = (
                "are not judged",
                f"is not judged, and nothing was taken up there since {_ago(queue.idle_seconds)}",
            )
        else:
            title, what = "are judged late", "is not judged yet; the lane works, and is behind"
        yield Condition(
            IncidentKind.BLIND,
            flight.lane,
            f"Attacks on the lane {flight.lane} {title}",
            f"{sent} {what}.",
            severity=Severity.CRITICAL,
        )


def _events(count: int) -> str:
    return f"{count:,} event{'' if count == 1 else 's'}"


def _rows(count: int) -> str:
    return f"{count:,} verdict row{'' if count == 1 else 's'}"


def _at(second: float) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _ago(seconds: float | None) -> str:
    return "the start" if seconds is None else _at(datetime.now(UTC).timestamp() - seconds)
