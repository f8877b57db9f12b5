"""What the dashboard's tests record, and how they read it back."""

from collections.abc import Callable, Sequence

import msgspec
from fastapi.testclient import TestClient

from detection import Event
from pipeline.ids import EventId

Record = Callable[..., list[EventId]]


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
