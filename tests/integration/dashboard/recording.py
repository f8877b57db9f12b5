"""What the dashboard's tests record, and how they read it back."""

import html
import re
from collections.abc import Callable, Sequence

import msgspec
from fastapi.testclient import TestClient

from dashboard.state import DashboardState
from detection import Event
from pipeline.http import Guard, KeyRing
from pipeline.ids import EventId

BROWSER = {"Accept": "text/html,application/xhtml+xml"}
BASE = "http://127.0.0.1:8000"
Record = Callable[..., list[EventId]]


def shown_text(page: str) -> str:
    """Return what a page shows, without its markup."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def guard_of(state: DashboardState) -> Guard:
    """Make the guard of a dashboard, its keys read."""
    ring = KeyRing(state.engine, state.redis)
    ring.refresh()
    return Guard(ring)


def event(**fields: object) -> Event:
    """Make an event that is clean unless the fields say otherwise."""
    usual = {
        "timestamp": "2024-01-15T14:30:00Z", "user": "alice", "agent": "ChatBot", "tool": "web_search",
        "prompt": "Search for the weather", "response": "It is sunny",
    }  # fmt: skip
    return msgspec.convert({**usual, **fields}, Event)


def ids(client: TestClient, query: str) -> Sequence[str]:
    """Return the ids of the events that a query lists."""
    answer = client.get(f"/api/verdicts?{query}")
    assert answer.status_code == 200, answer.text
    return [item["event_id"] for item in answer.json()["items"]]
