"""Calls to a running stack as any client makes them, and what such a client waits for."""

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.integration.deploy.running import Stack

EVENT: dict[str, Any] = {
    "timestamp": "2024-01-15T14:30:00Z",
    "user": "alice",
    "agent": "ChatBot",
    "tool": "web_search",
    "prompt": "Search for information",
    "response": "Search completed successfully",
}
JSON = {"Content-Type": "application/json"}
_BOUNDARY = "a-boundary-that-no-file-holds"
_PATIENCE = 60.0


@dataclass(frozen=True)
class Answer:
    """What came back. Status 0 means that nobody answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)


def event(**fields: object) -> dict[str, Any]:
    """Return a harmless event with some fields changed."""
    return {**EVENT, **fields}


def call(
    port: int,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    timeout: float = 10,
) -> Answer:
    """Make one request over a connection of its own."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        try:
            connection.request(method, path, body or None, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers.items()), answer.read())
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return Answer(0, {}, b"")


def post(up: Stack, body: object) -> Answer:
    """Post events."""
    return call(up.port, "POST", "/api/events", json.dumps(body).encode(), JSON)


def get(up: Stack, path: str) -> Answer:
    """Get a page or a resource."""
    return call(up.port, "GET", path)


def upload(port: int, content: bytes, *, name: str = "events.json", timeout: float = 30) -> Answer:
    """Upload a file as a browser's form does."""
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/json\r\n\r\n"
    )
    body = head.encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
    return call(port, "POST", "/api/uploads", body, kind, timeout=timeout)


def verdict(up: Stack, event_id: str, *, within: float = _PATIENCE) -> dict[str, Any]:
    """Wait for an event's verdict."""
    until = time.monotonic() + within
    while (answer := get(up, f"/api/verdicts/{event_id}")).status != http.client.OK:
        assert time.monotonic() < until, f"no verdict on {event_id} within {within} s: {answer}"
        time.sleep(0.02)
    found: dict[str, Any] = answer.json
    return found


def judged(up: Stack, body: object) -> list[dict[str, Any]]:
    """Post events, and wait for the verdict on each."""
    answer = post(up, body)
    assert answer.status == http.client.ACCEPTED, answer
    return [verdict(up, event_id) for event_id in answer.json["event_ids"]]


def finished_upload(up: Stack, status_url: str, *, within: float = _PATIENCE) -> dict[str, Any]:
    """Wait until an upload is done or failed."""
    until = time.monotonic() + within
    while True:
        answer = get(up, status_url)
        if answer.status == http.client.OK and answer.json["state"] in {"done", "failed"}:
            found: dict[str, Any] = answer.json
            return found
        assert time.monotonic() < until, f"not done within {within} s: {answer}"
        time.sleep(0.05)


def balanced_ledger(up: Stack, *, within: float = _PATIENCE) -> dict[str, Any]:
    """Wait until nothing is under way, and return the ledger."""
    until = time.monotonic() + within
    while True:
        answer = get(up, "/api/ledger")
        if answer.status == http.client.OK:
            found: dict[str, Any] = answer.json
            settled = found["judged"] + found["duplicates"] + found["dead"]
            if found["in_flight"] == 0 and found["deficit"] == 0 and found["accepted"] == settled:
                return found
        assert time.monotonic() < until, f"the ledger does not balance within {within} s: {answer}"
        time.sleep(0.1)
