"""What the processes say of their rules is shown: all of it on the page, and nothing of a rule's text to strangers."""

import html
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import redis
from fastapi.testclient import TestClient

from detection import RuleError, RuleSet, Span
from pipeline import health, pulses
from pipeline.health import rules_teller
from pipeline.rules import InForce

_SINCE = datetime(2026, 3, 1, 12, tzinfo=UTC)
_FAULT = RuleError(
    "failing-test", Span("/srv/rules/<b>house.yaml", 31, 9), "matches <script>alert(1)</script> kingfisher"
)
Tell = Callable[[str, tuple[RuleError, ...]], None]


@pytest.fixture
def tell(redis_client: redis.Redis, rule_set: RuleSet) -> Tell:
    """Give a function with which a process says what it uses."""

    def say(part: str, faults: tuple[RuleError, ...]) -> None:
        rules_teller(redis_client, part)(InForce(rule_set, _SINCE, faults))

    return say


def test_readyz_names_places_and_no_rule_text(client: TestClient, tell: Tell, rule_set: RuleSet) -> None:
    """Each process is listed with its digest; a broken file is its name, place and code; readiness is not touched."""
    tell("realtime", (_FAULT,))
    tell("bulk", ())

    answer = client.get("/readyz?verbose=1")

    assert answer.status_code == 200
    bulk, realtime = answer.json()["rules"]
    assert bulk["process"].startswith("bulk@")
    assert bulk["broken"] == []
    assert realtime["process"].startswith("realtime@")
    assert (realtime["rule_set"], realtime["since"]) == (rule_set.version, "2026-03-01T12:00:00+00:00")
    assert realtime["broken"] == ["<b>house.yaml:31:9 failing-test"]
    assert "kingfisher" not in answer.text
    assert "/srv" not in answer.text


def test_the_page_shows_every_mistake_as_text(client: TestClient, tell: Tell, rule_set: RuleSet) -> None:
    """The page warns at its top, lists processes and mistakes, and obeys no markup in them."""
    tell("realtime", (_FAULT,) * 60)

    page = client.get("/pipeline").text

    assert "Rule files are broken" in page
    assert str(_FAULT) in html.unescape(page)
    assert "<script>alert" not in page
    assert "and 10 more" in page
    assert f"<code>{rule_set.version}</code>" in page


def test_sound_rules_are_shown_without_a_warning(client: TestClient, tell: Tell) -> None:
    """Where nothing is broken, the page only says what is in force."""
    tell("realtime", ())

    page = client.get("/pipeline").text

    assert "Rule files are broken" not in page
    assert "as they stand" in page
    assert "sentinel_rules_broken 0.0" in client.get("/metrics").text


def test_who_is_gone_is_not_shown(client: TestClient, tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is silent is left out soon, and forgotten later."""
    tell("realtime", (_FAULT,))
    monkeypatch.setattr(pulses, "_ALIVE_SECONDS", -1.0)

    assert client.get("/readyz?verbose=1").json()["rules"] == []

    monkeypatch.setattr(health, "_FORGOTTEN_SECONDS", -1.0)
    client.get("/readyz?verbose=1")
    monkeypatch.undo()

    assert client.get("/readyz?verbose=1").json()["rules"] == []


def test_who_takes_its_report_away_is_not_shown(client: TestClient, tell: Tell, redis_client: redis.Redis) -> None:
    """A process that ends in order is gone at once, and the others stay."""
    tell("realtime", ())
    tell("bulk", ())
    rules_teller(redis_client, "realtime")(None)

    (left,) = client.get("/readyz?verbose=1").json()["rules"]
    assert left["process"].startswith("bulk@")
