"""Incidents on the way of alerts: told by the same receivers, under ids and a type of their own, once each."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from alerting import notify
from alerting.deliver import Courier
from alerting.receivers.webhook import encode
from alerting.wording import word
from pipeline.storage import alerts, incidents, transaction
from pipeline.storage.incidents import Condition, IncidentKind
from tests.integration.alerting.listener import Answer, Listener

_FOUND = Condition(IncidentKind.DEFICIT, "api-1 1768487400", "3 events acknowledged and lost", "They are nowhere.", 3)


@pytest.fixture
def look(engine: Engine) -> Callable[..., None]:
    """Give a function that looks twice, some seconds apart, and finds what it is given."""

    def twice(*found: Condition) -> None:
        for _ in range(2):
            with transaction(engine) as connection:
                incidents.observe(connection, [IncidentKind.DEFICIT], found)
                for column in ("opened_at", "seen_at"):
                    change = f"UPDATE incidents SET {column} = {column} - interval '13 seconds' WHERE ended_at IS NULL"
                    connection.execute(text(change))

    return twice


def test_an_incident_is_posted_once_when_it_begins_and_once_when_it_is_over(
    engine: Engine, listener: Listener, courier: Callable[..., Courier], look: Callable[..., None]
) -> None:
    """However often it is looked at, its receiver hears of it twice, with what it is and what to do about it."""
    tells = courier(listener.url)
    for found in ([_FOUND], [_FOUND], [], []):
        look(*found)
        notify.run(engine, tells)

    begun, over = (post.event for post in listener.posts)
    assert [begun["type"], over["type"]] == ["sentinel.incident"] * 2
    assert begun["id"] != over["id"]
    assert begun["subject"] == over["subject"] == begun["data"]["incident_id"]
    assert [begun["data"]["state"], over["data"]["state"]] == ["begun", "over"]
    assert begun["data"]["title"] == "3 events acknowledged and lost"
    assert begun["data"]["cure"] == IncidentKind.DEFICIT.cure
    assert begun["data"]["url"] == "https://sentinel.test/pipeline#incidents"
    assert over["data"]["ended_at"]


def test_an_incident_that_was_not_taken_is_told_again_to_the_byte(
    engine: Engine, listener: Listener, courier: Callable[..., Courier], look: Callable[..., None],
    make_due: Callable[[], None],
) -> None:  # fmt: skip
    """A receiver that was down hears the same as at the first attempt, whatever was found since."""
    tells = courier(listener.url)
    listener.answer = lambda _: Answer(400 if len(listener.posts) > 1 else 503)
    look(_FOUND)
    notify.run(engine, tells)
    worse = Condition(_FOUND.kind, _FOUND.subject, "9 events acknowledged and lost", "Even more are nowhere.", 9)
    with transaction(engine) as connection:
        incidents.observe(connection, [IncidentKind.DEFICIT], [worse])
    make_due()
    with transaction(engine) as connection:
        (due,) = alerts.claim(connection, limit=1, lease_seconds=30)
        (known,) = incidents.listing(connection, limit=1)

    assert encode(word(due, "https://sentinel.test")) == listener.posts[0].body
    assert (known.latest, known.events) == ("Even more are nowhere.", 9)


def test_an_incident_comes_before_every_alert(
    engine: Engine, place: Callable[..., object], look: Callable[..., None]
) -> None:
    """That the pipe is not to be trusted is told before what it found."""
    place(severity=4)
    look(_FOUND)

    with transaction(engine) as connection:
        first, _ = alerts.claim(connection, limit=5, lease_seconds=30)
    assert isinstance(first, alerts.DueNotice)
