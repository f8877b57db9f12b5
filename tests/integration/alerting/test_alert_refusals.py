"""Receivers that do not take an alert: unavailable ones, refusing ones, and URLs that lead nowhere good."""

import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import UUID

import pytest
from sqlalchemy import Engine

from alerting.deliver import Courier
from tests.integration.alerting.listener import Answer, Listener, silent_port
from tests.integration.alerting.slices import run

Place = Callable[..., UUID]
LogOf = Callable[[UUID], dict[str, tuple[str, int, str]]]
Waiting = Callable[[], dict[UUID, float]]
MakeCourier = Callable[..., Courier]


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_an_unavailable_receiver_is_told_later_under_the_same_id(
    engine: Engine,
    place: Place,
    courier: MakeCourier,
    listener: Listener,
    log_of: LogOf,
    waiting: Waiting,
    make_due: Callable[[], None],
    status: int,
) -> None:
    """After "later", the alert waits; the retry is byte for byte the first post, and the console is not told again."""
    alert = place()
    listener.answer = lambda _: Answer(status, body=b"busy\x1b[31m")
    run(engine, courier(listener.url))

    assert ("waiting", 1, f"HTTP {status}: busy [31m") == log_of(alert)["webhook"]
    assert waiting()[alert] <= 2

    make_due()
    listener.answer = lambda _: Answer()
    run(engine, courier(listener.url))

    assert log_of(alert)["webhook"] == ("sent", 2, "HTTP 204")
    assert log_of(alert)["console"] == ("sent", 1, "written")
    assert listener.posts[0].body == listener.posts[1].body
    assert waiting() == {}


@pytest.mark.parametrize("status", [300, 302, 307, 400, 401, 403, 404, 410, 422])
def test_a_refusal_is_final_and_shown(
    engine: Engine,
    place: Place,
    courier: MakeCourier,
    listener: Listener,
    log_of: LogOf,
    waiting: Waiting,
    status: int,
) -> None:
    """After a refusal the alert is not sent again, a redirect is not followed, and the answer is the reason."""
    alert = place()
    listener.answer = lambda _: Answer(status, {"Location": listener.url + "/elsewhere"}, b"no_such_team")
    run(engine, courier(listener.url))

    state, attempts, reason = log_of(alert)["webhook"]
    assert (state, attempts) == ("rejected", 1)
    assert str(status) in reason
    assert [post.path for post in listener.posts] == ["/hook"]
    assert waiting() == {}


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(
    engine: Engine, place: Place, courier: MakeCourier, listener: Listener, waiting: Waiting, form: str
) -> None:
    """A receiver that names its time is not asked again for that alert, and, asking so for several, for none."""
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    listener.answer = lambda _: Answer(429, {"Retry-After": "60" if form == "seconds" else when})
    several, same = [place() for _ in range(5)], courier(listener.url)
    run(engine, same)
    one_more = place()
    run(engine, same)

    assert sorted(map(str, several)) == sorted(listener.ids)
    assert all(55 < waiting()[alert] <= 60 for alert in [*several, one_more])


def test_a_receiver_that_is_down_costs_a_few_attempts_not_one_per_alert(
    engine: Engine, place: Place, courier: MakeCourier, listener: Listener, log_of: LogOf
) -> None:
    """While the receiver rests, alerts wait without an attempt, and the console still gets every one of them."""
    listener.stop()
    found = [place() for _ in range(30)]
    run(engine, courier(listener.url))

    logs = [log_of(alert) for alert in found]
    assert {"sent"} == {log["console"][0] for log in logs}
    assert {"waiting"} == {log["webhook"][0] for log in logs}
    assert sum(log["webhook"][1] for log in logs) <= 16
    assert all("no connection" in log["webhook"][2] for log in logs)


def test_a_restarted_receiver_gets_everything(
    engine: Engine,
    place: Place,
    courier: MakeCourier,
    listener: Listener,
    waiting: Waiting,
    make_due: Callable[[], None],
) -> None:
    """What waited for a receiver that was down arrives after its restart, each alert once."""
    listener.stop()
    found = {str(place()) for _ in range(12)}
    run(engine, courier(listener.url))
    listener.start()
    make_due()
    run(engine, courier(listener.url))

    assert found == set(listener.ids)
    assert len(found) == len(listener.ids)
    assert waiting() == {}


def test_a_receiver_that_never_answers_is_given_up_in_time(
    engine: Engine, place: Place, courier: MakeCourier, log_of: LogOf
) -> None:
    """A connection that is accepted and never answered ends with the attempt's time."""
    held, url = silent_port()
    alert = place()
    began = time.monotonic()
    with held:
        run(engine, courier(url, timeout=0.4))

    assert time.monotonic() - began < 3
    assert log_of(alert)["webhook"] == ("waiting", 1, "no answer within 0.4 s")


def test_a_receiver_that_drips_is_given_up_in_time(
    engine: Engine, place: Place, courier: MakeCourier, log_of: LogOf
) -> None:
    """An answer that comes one byte at a time, each soon after the last, ends with the attempt's time all the same."""
    held, url = silent_port()
    alert, over = place(), threading.Event()

    def drip() -> None:
        connection, _ = held.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not over.wait(0.02):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return

    dripping = threading.Thread(target=drip)
    dripping.start()
    with held:
        run(engine, courier(url, timeout=0.4))
    over.set()
    dripping.join()

    assert log_of(alert)["webhook"] == ("waiting", 1, "no answer within 0.4 s")


def test_an_endless_answer_is_not_read(
    engine: Engine, place: Place, courier: MakeCourier, listener: Listener, log_of: LogOf
) -> None:
    """Of a refusal of 50 MB only the first words are read and kept."""
    alert = place()
    listener.answer = lambda _: Answer(400, body=b"a" * 50_000_000)
    run(engine, courier(listener.url))

    assert ("rejected", 1, f"HTTP 400: {'a' * 200}") == log_of(alert)["webhook"]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:9/", "127.0.0.1 is private or reserved"),
        ("http://2130706433/", "127.0.0.1 is private or reserved"),
        ("http://[::ffff:127.0.0.1]/", "is private or reserved"),
        ("http://localhost/", "is private or reserved"),
        ("ftp://example.test/", "must begin with http:// or https://"),
        ("hooks.example.test/secret", "must begin with http:// or https://"),
        ("https:///secret", "names no host"),
    ],
)
def test_a_wrong_url_is_a_reason_on_the_alert(
    engine: Engine, place: Place, courier: MakeCourier, log_of: LogOf, waiting: Waiting, url: str, reason: str
) -> None:
    """A URL that cannot be right or must not be reached is rejected with the reason, and nothing crashes."""
    alert = place()
    run(engine, courier(url, private=False))

    state, _, said = log_of(alert)["webhook"]
    assert state == "rejected"
    assert reason in said
    assert "secret" not in said
    assert log_of(alert)["console"][0] == "sent"
    assert waiting() == {}


def test_a_host_that_is_not_found_is_tried_again(
    engine: Engine, place: Place, courier: MakeCourier, log_of: LogOf
) -> None:
    """A name that cannot be looked up now may be later."""
    alert = place()
    run(engine, courier("http://nowhere.invalid/"))

    state, _, reason = log_of(alert)["webhook"]
    assert state == "waiting"
    assert "host name" in reason


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.215.14", "127.0.0.1"], ["::ffff:10.0.0.1"]])
def test_a_name_that_leads_inside_is_refused(
    engine: Engine,
    place: Place,
    courier: MakeCourier,
    listener: Listener,
    log_of: LogOf,
    monkeypatch: pytest.MonkeyPatch,
    addresses: list[str],
) -> None:
    """A name is refused when any of its addresses is private, and nothing is connected to."""
    alert = place()
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, 1, 6, "", (each, 80)) for each in addresses]
    )
    run(engine, courier(listener.url.replace("127.0.0.1", "receiver.test"), private=False))

    assert log_of(alert)["webhook"][0] == "rejected"
    assert listener.posts == []


def test_a_name_is_looked_up_once(
    engine: Engine, place: Place, courier: MakeCourier, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection goes to the address that was checked: a second look-up, with another answer, never happens."""
    place()
    answers = [[(socket.AF_INET, 1, 6, "", ("127.0.0.1", 80))]]
    real = socket.getaddrinfo

    def look_up(host: str, *rest: object, **named: object) -> object:
        return answers.pop() if host == "receiver.test" else real(host, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    run(engine, courier(listener.url.replace("127.0.0.1", "receiver.test")))

    assert len(listener.posts) == 1
    assert listener.posts[0].headers["Host"].startswith("receiver.test:")


def test_proxies_in_the_environment_are_not_used(
    engine: Engine, place: Place, courier: MakeCourier, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The post goes straight to the receiver, for a proxy would look the name up again."""
    place()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    run(engine, courier(listener.url))

    assert len(listener.posts) == 1
