"""Events and requests as clients write them, and what every answer that is an error has to hold."""

import json
import time
from collections.abc import Callable
from typing import Any

from httpx2 import Response
from starlette.testclient import TestClient

EVENT = {
    "timestamp": "2024-01-15T14:30:00Z",
    "user": "alice",
    "agent": "ChatBot",
    "tool": "web_search",
    "prompt": "Search for recent security vulnerabilities",
    "response": "Found 15 recent CVE entries...",
}
JSON = {"Content-Type": "application/json"}


def event(**members: object) -> dict[str, object]:
    """Return an event with some members changed."""
    return {**EVENT, **members}


def raw(**members: object) -> bytes:
    """Return such an event as JSON."""
    return json.dumps(event(**members)).encode()


def with_member(member: bytes) -> bytes:
    """Return an event as JSON with one more member, written by hand."""
    return raw()[:-1] + b", " + member + b"}"


def post(door: TestClient, body: bytes, path: str = "/api/events", **headers: str) -> Response:
    """Post a body as JSON."""
    return door.post(
        path, content=body, headers={**JSON, **{name.replace("_", "-"): headers[name] for name in headers}}
    )


def upload(
    door: TestClient, content: bytes, name: str = "events.json", field: str = "file", **headers: str
) -> Response:
    """Upload a file."""
    return door.post("/api/uploads", files={field: (name, content)}, headers=headers)


def problem(answer: Response, status: int) -> dict[str, Any]:
    """Return the answer's body, once it is sure to be a whole problem of this status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "instance", "request_id"} <= found.keys()
    assert found["status"] == status
    assert found["type"] == "about:blank"
    assert found["instance"] == answer.request.url.path
    assert found["request_id"]
    assert found["title"]
    assert found["detail"]
    return found


def eventually(look: Callable[[], bool], *, seconds: float = 5.0) -> None:
    """Look until it is so, for the time that the product itself is given."""
    until = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(0.02)
