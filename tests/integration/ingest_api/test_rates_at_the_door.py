"""Rates at the door: 429 apart from 503, before the body is read, and told in headers."""

import json
from collections.abc import Callable
from typing import Any

from starlette.testclient import TestClient

from tests.integration.ingest_api.events import event, post, problem, raw, upload

Journaled = Callable[[], dict[str, dict[str, Any]]]


def test_a_client_over_its_rate_is_told_when_to_come_again(
    open_door: Callable[..., TestClient], journaled: Journaled
) -> None:
    """
    A request larger than what is left is taken; until it is paid for the next is refused unread, event or file.
    """
    door = open_door(rate_events=10, rate_burst=50)
    first = post(door, json.dumps([event()] * 600).encode())
    refused = post(door, b"this is not even read")
    found = problem(refused, 429)

    assert first.status_code == 202
    assert first.headers["ratelimit-policy"] == '"events";q=50;w=5'
    assert first.headers["ratelimit"].startswith('"events";r=0;t=6')
    assert 50 <= int(refused.headers["retry-after"]) <= 56
    assert (found["limit"], found["maximum"]) == ("rate_events", 10)
    assert problem(upload(door, b"[]"), 429)["limit"] == "rate_events"
    assert sum(int(entry["events"]) for entry in journaled().values()) == 600


def test_what_was_not_taken_costs_nothing(open_door: Callable[..., TestClient]) -> None:
    """
    Neither a request that was refused nor one that was answered again is charged; there is no header without a rate.
    """
    door = open_door(rate_events=0.001, rate_burst=3)
    for _ in range(5):
        problem(post(door, b"[{}, {}]"), 422)
        assert post(door, raw(), Idempotency_Key="k").status_code == 202

    assert post(door, raw()).headers["ratelimit"].startswith('"events";r=1;')
    assert "ratelimit" not in post(open_door(rate_events=0), raw()).headers
