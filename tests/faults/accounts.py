"""The clients' own lists against what PostgreSQL and the webhook's receiver hold."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import Engine, text

from pipeline.ids import EventId, alert_id
from pipeline.storage import transaction
from tests.faults.clients import Client
from tests.integration.alerting.listener import Post


@dataclass(frozen=True)
class Stored:
    """One event as it is stored."""

    token: str
    event_id: EventId
    flagged: bool


@dataclass(frozen=True)
class Recorded:
    """Everything that counts, read in one transaction."""

    events: Sequence[Stored]
    alerts: Counter[UUID]
    outbox: int
    dead_letters: int


def recorded(engine: Engine) -> Recorded:
    """Read what is stored."""
    with transaction(engine) as connection:
        rows = connection.execute(text("SELECT session_id, chunk, position, severity FROM events")).all()
        events = [Stored(str(row[0]), EventId(row[1], row[2]), row[3] is not None) for row in rows]
        alerts = Counter(connection.execute(text("SELECT alert_id FROM alerts")).scalars())
        outbox, dead_letters = connection.execute(
            text("SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM dead_letters)")
        ).one()
    return Recorded(events, alerts, outbox, dead_letters)


def of(found: Recorded, tokens: Collection[str]) -> Recorded:
    """Return what is stored of some clients' events alone."""
    return replace(found, events=[event for event in found.events if event.token in tokens])


def untold(engine: Engine) -> int:
    """Return how many alerts still have to be told."""
    with transaction(engine) as connection:
        return int(connection.execute(text("SELECT count(*) FROM outbox")).scalar_one())


def events_agree(found: Recorded, clients: Iterable[Client]) -> None:
    """Nothing acknowledged is lost, nothing is doubled, nothing was not posted, and each verdict is the right one."""
    sent: dict[str, bool] = {}
    acknowledged: dict[str, str | None] = {}
    for client in clients:
        sent |= client.sent
        acknowledged |= client.acknowledged
    ids = {event.token: str(event.event_id) for event in found.events}
    counts = Counter(event.token for event in found.events)

    assert sorted(token for token in acknowledged if token not in counts) == []
    assert {token: count for token, count in counts.items() if count > 1} == {}
    assert sorted(token for token in counts if token not in sent) == []
    assert {token: ids[token] for token, given in acknowledged.items() if given and given != ids[token]} == {}
    assert [event for event in found.events if event.flagged != sent[event.token]] == []


def alerts_agree(found: Recorded, posts: Sequence[Post]) -> None:
    """Every flagged event has one alert, which its receiver heard of at least once and always under the same id."""
    due = {alert_id(event.event_id): str(event.event_id) for event in found.events if event.flagged}
    heard: defaultdict[str, set[str]] = defaultdict(set)
    for post in posts:
        if post.event["type"] == "sentinel.alert":  # operators hear of incidents the same way
            heard[post.event["data"]["event_id"]].add(post.event["id"])

    assert found.alerts == Counter(due.keys())
    assert {event_id: ids for event_id, ids in heard.items() if len(ids) > 1} == {}
    assert {event_id: next(iter(ids)) for event_id, ids in heard.items()} == {
        event_id: str(alert) for alert, event_id in due.items()
    }
