"""The read endpoints for verdicts: filters, cursors, and one verdict in full."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from pipeline.ids import BatchId
from pipeline.storage import reading
from tests.integration.dashboard.recording import Record, ids

LONG_AGO = datetime.now(UTC) - timedelta(hours=5)


def test_a_verdict_is_shown_as_it_was_recorded(client: TestClient, record: Record) -> None:
    """Event, times, queue and findings come back, each finding pointing into the field."""
    (found_id,) = record({"tool": "os_shell", "metadata": {"host": "a", "n": [1, 2.5]}, "session_id": "s1"})

    shown = client.get(f"/api/verdicts/{found_id}").json()

    assert shown["event_id"] == str(found_id)
    assert shown["event"] == {
        "timestamp": "2024-01-15T14:30:00Z", "user": "alice", "agent": "ChatBot", "tool": "os_shell",
        "prompt": "Search for the weather", "response": "It is sunny", "session_id": "s1",
        "metadata": {"host": "a", "n": [1, 2.5]},
    }  # fmt: skip
    assert (shown["outcome"], shown["severity"], shown["queue"]) == ("flagged", "high", "realtime")
    assert shown["received_at"] <= shown["judged_at"]
    (finding,) = shown["findings"]
    assert (finding["rule_id"], finding["field"], finding["view"]) == ("dangerous-tool", "tool", "raw")
    assert shown["event"]["tool"][finding["start"] : finding["end"]] == "os_shell"
    assert finding["tags"]["owasp_llm"] == ["LLM06:2025"]


def test_an_event_without_optional_members_shows_none_of_them(client: TestClient, record: Record) -> None:
    """What the client did not send is not there, and a clean event has no severity and no findings."""
    (found_id,) = record({})

    shown = client.get(f"/api/verdicts/{found_id}").json()

    assert set(shown["event"]) == {"timestamp", "user", "agent", "tool", "prompt", "response"}
    assert (shown["outcome"], shown["severity"], shown["findings"]) == ("clean", None, [])


@pytest.mark.parametrize("unknown", ["0" * 32 + ".0", "nothing", "0" * 32, "%00", "..%2f"])
def test_an_unknown_event_is_a_problem_404(client: TestClient, unknown: str) -> None:
    """Ids that were never given out, and texts that are no ids, are not found."""
    answer = client.get(f"/api/verdicts/{unknown}")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


FILTERS = [
    ("outcome=flagged", {"os_shell"}),
    ("outcome!=flagged", {"calendar", "web"}),
    ("outcome=clean", {"calendar", "web"}),
    ("min_severity=high", {"os_shell"}),
    ("min_severity!=high", {"calendar", "web"}),
    ("tool=web", {"web"}),
    ("tool=web&tool=calendar", {"calendar", "web"}),
    ("tool!=web&tool!=calendar", {"os_shell"}),
    ("user=bob", {"web"}),
    ("user!=bob", {"os_shell", "calendar"}),
    ("agent=helper", {"calendar"}),
    ("agent!=helper", {"os_shell", "web"}),
    ("rule=dangerous-tool", {"os_shell"}),
    ("rule!=dangerous-tool", {"calendar", "web"}),
    ("session_id=s1", {"web"}),
    ("session_id!=s1", {"os_shell", "calendar"}),
    ("q=NEEDLE", {"web"}),
    ("q!=needle", {"os_shell", "calendar"}),
    ("q=100%25", {"calendar"}),
    ("q=100_", set()),
    ("q=%C3%89T%C3%89", {"calendar"}),
    ("q=" + "x" * 200, set()),
    ("user=&tool=&q=", {"os_shell", "calendar", "web"}),
]


@pytest.mark.parametrize(("query", "expected"), FILTERS, ids=[query for query, _ in FILTERS])
def test_each_filter_includes_and_excludes(client: TestClient, record: Record, query: str, expected: set[str]) -> None:
    """A filter keeps what fits; with an exclamation mark it keeps the rest, events without the field included."""
    record(
        {"tool": "os_shell"},
        {"tool": "calendar", "agent": "helper", "response": "it is 100% done, cet \u00e9t\u00e9"},
        {"tool": "web", "user": "bob", "session_id": "s1", "prompt": "a Needle in a haystack"},
    )

    items = client.get(f"/api/verdicts?{query}").json()["items"]

    assert {item["event"]["tool"] for item in items} == expected


def test_times_batches_and_uploads_filter(client: TestClient, record: Record) -> None:
    """Events are found by when they were received, by the batch they came in, and by the upload."""
    upload = str(uuid4())
    (old,) = record({}, at=LONG_AGO)
    first, second = record({}, {}, upload_id=upload)
    border = (LONG_AGO + timedelta(hours=1)).isoformat()
    batch = BatchId(first.chunk, 1, 1)

    assert ids(client, f"to={border.replace('+', '%2B')}") == [str(old)]
    assert ids(client, f"from={border}") == [str(second), str(first)]
    assert ids(client, f"from!={border}") == [str(old)]
    assert ids(client, f"upload_id={upload}") == [str(second), str(first)]
    assert ids(client, f"upload_id!={upload}") == [str(old)]
    assert ids(client, f"batch_id={batch}") == [str(second)]
    assert ids(client, f"batch_id!={batch}&upload_id={upload}") == [str(first)]


@pytest.mark.parametrize(
    "query",
    [
        "users=alice", "limit=0", "limit=1001", "limit=x", "limit=%D9%A3", "cursor=!!", "cursor=bnVsbA",
        "from=yesterday", "outcome=bad", "min_severity=9", "upload_id=1", "batch_id=1", "cursor=WzEsIjAiLDFd",
        "q=" + "x" * 201, "q!=" + "%C3%A9" * 201,
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(client: TestClient, query: str) -> None:
    """A misspelt or unreadable parameter is a problem 422, never an unfiltered list."""
    answer = client.get(f"/api/verdicts?{query}")

    assert answer.status_code == 422
    assert answer.json()["detail"]


def test_a_date_alone_is_a_whole_day(client: TestClient, record: Record) -> None:
    """``from`` begins with its day and ``to`` ends with it, in lists, alerts and figures alike."""
    noon = datetime.now(UTC).replace(hour=12) - timedelta(days=2)
    for days in (-1, 0, 1):
        record({"tool": "os_shell"}, at=noon + timedelta(days=days))
    day = noon.date()

    assert len(ids(client, f"from={day}&to={day}")) == 1
    assert len(ids(client, f"to={day}")) == len(ids(client, f"from={day}")) == 2
    assert ids(client, f"from={day}T00:00:00Z&to={day}T00:00:00Z") == []
    assert client.get(f"/api/stats?from={day}&to={day}").json()["judged"] == 1
    assert client.get("/api/alerts?from=0001-01-01&to=0001-01-01").json()["items"] == []


@pytest.mark.parametrize(
    "query", ["q=%00", "user=a%00b", "from=0001-01-01&to=0001-01-02", "to=9999-12-31", "q=%ED%A0%80"]
)
def test_odd_values_are_no_errors(client: TestClient, query: str) -> None:
    """NUL, surrogates and the ends of time find nothing, or everything, without an error."""
    assert ids(client, query) == []


def test_pages_are_stable_while_events_arrive(client: TestClient, record: Record) -> None:
    """Following the cursor gives every event once, newest first, though new ones arrive meanwhile."""
    wanted = []
    for hour in range(5):
        wanted += record({}, {}, {}, at=LONG_AGO + timedelta(minutes=hour))
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = client.get(f"/api/verdicts?limit=4{cursor and '&cursor=' + cursor}").json()
        seen += [item["event_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        record({})

    assert seen == [str(each) for each in reversed(wanted)]


def test_a_cursor_is_safe_in_a_url_and_linked(client: TestClient, record: Record) -> None:
    """The cursor needs no escaping, and the Link header leads to the same page."""
    record({}, {}, {"tool": "other"})

    answer = client.get("/api/verdicts?limit=1&tool=web_search")
    cursor = answer.json()["next_cursor"]

    assert cursor.replace("-", "").replace("_", "").isalnum()
    url = answer.headers["link"].split(">")[0].removeprefix("<")
    following = client.get(url).json()
    assert following == client.get(f"/api/verdicts?limit=1&tool=web_search&cursor={cursor}").json()
    assert following["items"][0]["event_id"] != answer.json()["items"][0]["event_id"]
    assert following["next_cursor"] is None


def test_a_page_of_very_large_events_ends_early(client: TestClient, record: Record) -> None:
    """The texts of one page are bounded; the cursor leads on to the rest."""
    found = record(*({"prompt": "x" * 1_000_000} for _ in range(18)))

    first = client.get("/api/verdicts?limit=100").json()
    second = client.get(f"/api/verdicts?limit=100&cursor={first['next_cursor']}").json()

    assert len(first["items"]) == reading.PAGE_BYTES // 1_000_100
    assert [item["event_id"] for item in first["items"] + second["items"]] == [str(each) for each in reversed(found)]
    assert second["next_cursor"] is None
