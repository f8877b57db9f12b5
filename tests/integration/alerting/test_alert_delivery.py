"""The alert worker's line, from the outbox to a real HTTP server and back into the notification log."""

import base64
import threading
import time
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from alerting import notify
from alerting.deliver import Courier
from alerting.notify import SliceEnd
from pipeline.storage import transaction
from tests.integration.alerting.listener import Answer, Listener
from tests.integration.alerting.slices import run

Place = Callable[..., UUID]
LogOf = Callable[[UUID], dict[str, tuple[str, int, str]]]
Waiting = Callable[[], dict[UUID, float]]
MakeCourier = Callable[..., Courier]


def test_a_due_alert_is_told_once(
    engine: Engine, place: Place, courier: MakeCourier, listener: Listener, log_of: LogOf, waiting: Waiting
) -> None:
    """An alert reaches the webhook and the console, is written down as sent, and leaves the outbox."""
    alert = place()

    assert SliceEnd.NOTHING_DUE is run(engine, courier(listener.url))
    assert SliceEnd.NOTHING_DUE is run(engine, courier(listener.url))

    assert [str(alert)] == listener.ids
    assert log_of(alert) == {"console": ("sent", 1, "written"), "webhook": ("sent", 1, "HTTP 204")}
    assert waiting() == {}


def test_the_post_is_a_cloud_event(engine: Engine, place: Place, courier: MakeCourier, listener: Listener) -> None:
    """The post is CloudEvents 1.0 in structured mode, with the data the interface promises and no prompt."""
    alert = place(user="al\u202eice")
    run(engine, courier(listener.url.replace("http://", "http://us:p%40ss@") + "?team=a"))

    [post] = listener.posts
    event, data = post.event, post.event["data"]
    assert post.path == "/hook?team=a"
    assert post.headers["Content-Type"] == "application/cloudevents+json"
    assert str(alert) == post.headers["Idempotency-Key"] == event["id"]
    assert f"Basic {base64.b64encode(b'us:p@ss').decode()}" == post.headers["Authorization"]
    assert (
        event["specversion"],
        event["type"],
        event["datacontenttype"],
    ) == ("1.0", "sentinel.alert", "application/json")
    assert event["source"] == "https://sentinel.test"
    assert data["event_id"] == event["subject"]
    assert f"https://sentinel.test/events/{data['event_id']}" == data["url"]
    assert (data["severity"], data["rule_ids"], data["title"]) == ("high", ["dangerous-tool"], "Dangerous tool")
    assert (data["user"], data["agent"], data["tool"]) == ("al\u202eice", "ChatBot", "os_shell")
    assert 1 == data["findings_total"] == len(data["findings"])
    assert data["findings"][0]["excerpt"] == "os_shell"
    assert datetime.fromisoformat(event["time"]).tzinfo is not None
    assert not {"prompt", "response"} & data.keys()


def test_a_slow_receiver_does_not_stop_a_burst(
    engine: Engine, place: Place, courier: MakeCourier, listener: Listener
) -> None:
    """Several alerts are told side by side."""
    for _ in range(8):
        place()
    listener.gate.clear()
    telling = threading.Thread(target=run, args=(engine, courier(listener.url)))
    telling.start()
    listener.wait_for(8)
    listener.gate.set()
    telling.join()

    assert listener.most_at_once == 8


def test_what_the_console_was_told_is_written_down_while_the_webhook_hangs(
    engine: Engine, place: Place, courier: MakeCourier, listener: Listener, log_of: LogOf
) -> None:
    """Receivers are independent: one's answer is kept before the other's has come."""
    alert = place()
    listener.gate.clear()
    telling = threading.Thread(target=run, args=(engine, courier(listener.url)))
    telling.start()
    listener.wait_for(1)
    until = time.monotonic() + 4
    while "console" not in log_of(alert) and time.monotonic() < until:
        pass
    assert log_of(alert) == {"console": ("sent", 1, "written")}
    listener.gate.set()
    telling.join()


def test_the_most_urgent_is_told_first(engine: Engine, place: Place, courier: MakeCourier, listener: Listener) -> None:
    """A critical live alert overtakes the hits of an upload."""
    for _ in range(3):
        place(lane="bulk", severity=4)
    urgent = place(lane="realtime", severity=2)
    notify.run(engine, courier(listener.url), batch=1)

    assert str(urgent) == listener.ids[0]


def test_a_receiver_taken_away_no_longer_holds_the_alert(
    engine: Engine,
    place: Place,
    courier: MakeCourier,
    listener: Listener,
    log_of: LogOf,
    waiting: Waiting,
    make_due: Callable[[], None],
) -> None:
    """An alert that waits for a webhook that is no longer configured is closed, and says why."""
    alert = place()
    listener.answer = lambda _: Answer(500)
    run(engine, courier(listener.url))
    make_due()
    run(engine, courier(""))

    assert log_of(alert)["webhook"] == ("rejected", 1, "this receiver is no longer configured")
    assert waiting() == {}


def test_a_thawed_worker_tells_nothing_that_may_be_anothers(
    engine: Engine, place: Place, courier: MakeCourier, listener: Listener, waiting: Waiting
) -> None:
    """A worker that was frozen between claiming and telling tells nothing, and gives back what is still its own."""
    alert = place()
    moments = iter([0.0, notify.LEASE_SECONDS * -2, 0.0, 99.0])
    notify.run(engine, courier(listener.url), clock=lambda: next(moments))

    assert listener.posts == []
    assert waiting()[alert] <= 0


def test_an_alert_told_but_not_written_down_is_told_again_under_the_same_id(
    engine: Engine, place: Place, courier: MakeCourier, listener: Listener, make_due: Callable[[], None], log_of: LogOf
) -> None:
    """Where the note after the telling does not commit, the alert comes back, recognisable as the same."""
    alert = place()
    with transaction(engine) as connection:
        connection.execute(text("ALTER TABLE notifications ADD CONSTRAINT never CHECK (false) NOT VALID"))
    try:
        with pytest.raises(Exception, match="never"):
            run(engine, courier(listener.url))
        listener.wait_for(1)
    finally:
        with transaction(engine) as connection:
            connection.execute(text("ALTER TABLE notifications DROP CONSTRAINT never"))
    assert log_of(alert) == {}
    make_due()
    run(engine, courier(listener.url))

    assert [str(alert)] * 2 == listener.ids
    assert log_of(alert)["webhook"] == ("sent", 1, "HTTP 204")
