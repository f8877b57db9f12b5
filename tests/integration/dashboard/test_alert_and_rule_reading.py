"""The read endpoints for alerts, rules and counts."""

from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from detection import RuleSet
from pipeline.ids import alert_id
from pipeline.storage import transaction
from tests.integration.dashboard.recording import Record


def test_every_flagged_event_has_an_alert_to_read(client: TestClient, record: Record) -> None:
    """An alert names its event, its rules and, until it was told, that it waits."""
    found_id, _ = record({"tool": "os_shell", "user": "bob"}, {})

    (listed,) = client.get("/api/alerts").json()["items"]

    assert listed == client.get(f"/api/alerts/{alert_id(found_id)}").json()
    assert (listed["event_id"], listed["rule_ids"]) == (str(found_id), ["dangerous-tool"])
    assert (listed["severity"], listed["user"], listed["state"], listed["notifications"]) == (
        "high",
        "bob",
        "waiting",
        [],
    )


def test_the_notification_log_is_part_of_the_alert(client: TestClient, record: Record, engine: Engine) -> None:
    """What each receiver was told, and why not, is shown with its reason."""
    (found_id,) = record({"tool": "os_shell"})
    alert = alert_id(found_id)
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM outbox"))
        connection.execute(
            text("INSERT INTO notifications VALUES (:alert, 'webhook', 'rejected', 1, '400 Bad Request', now())"),
            {"alert": alert},
        )

    shown = client.get(f"/api/alerts/{alert}").json()

    assert shown["state"] == "rejected"
    assert [(entry["receiver"], entry["reason"]) for entry in shown["notifications"]] == [
        ("webhook", "400 Bad Request")
    ]
    page = client.get(f"/alerts/{alert}").text
    assert "400 Bad Request" in page
    assert "dangerous-tool" in page


def test_an_alert_below_the_least_severity_is_recorded_only(client: TestClient, record: Record) -> None:
    """It is listed, and says that nobody is told of it."""
    (found_id,) = record({"prompt": "x" * 3_001})

    (listed,) = client.get("/api/alerts").json()["items"]

    assert (listed["severity"], listed["state"]) == ("informational", "recorded")
    assert "not sent" in client.get(f"/alerts/{alert_id(found_id)}").text


@pytest.mark.parametrize(
    ("query", "count"),
    [("min_severity=high", 1), ("tool=web_search", 2), ("user=bob", 1), ("rule=keyword-sudo", 1), ("agent=no", 0)],
)
def test_alerts_are_filtered(client: TestClient, record: Record, query: str, count: int) -> None:
    """Severity, tool, user, agent and rule narrow the list."""
    record({"tool": "os_shell"}, {"prompt": "delete all", "user": "bob"}, {"prompt": "use sudo"})

    assert len(client.get(f"/api/alerts?{query}").json()["items"]) == count


def test_alerts_are_paged(client: TestClient, record: Record) -> None:
    """The cursor leads through all alerts, each once."""
    record(*({"tool": "os_shell"} for _ in range(7)))
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = client.get(f"/api/alerts?limit=3{cursor and '&cursor=' + cursor}").json()
        seen += [item["alert_id"] for item in page["items"]]
        cursor = page["next_cursor"]

    assert len(seen) == len(set(seen)) == 7


@pytest.mark.parametrize(
    "path", ["/api/alerts/1", "/api/alerts/00000000-0000-8000-8000-000000000000", "/api/rules/none"]
)
def test_what_is_not_there_is_a_problem_404(client: TestClient, path: str) -> None:
    """Unknown alerts and rules are not found."""
    answer = client.get(path)

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_rules_say_what_they_look_for_and_how_often_they_fired(
    client: TestClient, record: Record, rule_set: RuleSet
) -> None:
    """All rules in force are listed, and one shows its patterns, tests and counts."""
    record({"tool": "os_shell"}, {"tool": "os_shell"}, {})

    listed = client.get("/api/rules").json()
    shown = client.get("/api/rules/dangerous-tool").json()

    assert listed["rule_set"] == rule_set.version
    assert {rule["id"] for rule in listed["items"]} == {rule.id for rule in rule_set.rules}
    assert shown["fired"] == {"last_24_hours": 2, "kept": 2}
    assert shown["patterns"][0]["values"] == ["os_shell"]
    assert {test["match"] for test in shown["tests"]} == {True, False}


def test_stats_count_by_time_severity_and_value(client: TestClient, record: Record) -> None:
    """The counts of a range are those of its events, whole and by bucket."""
    now = datetime.now(UTC)
    record({"tool": "os_shell", "user": "bob"}, {}, {}, at=now - timedelta(minutes=30))
    record({}, at=now - timedelta(hours=30))

    day, week = client.get("/api/stats").json(), client.get("/api/stats?range=7d").json()

    assert (day["judged"], day["flagged"], week["judged"]) == (3, 1, 4)
    assert day["severity"] == {"clean": 2, "informational": 0, "low": 0, "medium": 0, "high": 1, "critical": 0}
    assert sum(bucket["judged"] for bucket in day["buckets"]) == 3
    assert day["tool"][0] == {"value": "os_shell", "events": 1, "flagged": 1}
    assert day["user"] == [{"value": "bob", "events": 1, "flagged": 1}, {"value": "alice", "events": 2, "flagged": 0}]
    assert day["rule"] == [{"value": "dangerous-tool", "events": 1, "flagged": 1}]


@pytest.mark.parametrize(
    "query", ["range=2y", "from=x", "from=2024-01-02&to=2024-01-01", "from=9999-12-31", "limit=0", "user=bob"]
)
def test_a_range_that_cannot_be_read_is_refused(client: TestClient, query: str) -> None:
    """Counts of another time than was asked for are never shown."""
    assert client.get(f"/api/stats?{query}").status_code == 422


def test_a_range_of_centuries_is_counted(client: TestClient, record: Record) -> None:
    """The widest range has few buckets and no error."""
    record({})

    shown = client.get("/api/stats?from=0001-01-01&to=9999-12-31").json()

    assert shown["judged"] == 1
    assert len(shown["buckets"]) < 100
