"""The limits of what is taken: each is listed, in force, and named when it is exceeded."""

import json
from collections.abc import Callable
from typing import Any

from starlette.testclient import TestClient

from pipeline.ids import BatchId
from tests.integration.ingest_api.events import event, post, problem, raw

Journaled = Callable[[], dict[str, dict[str, Any]]]


def test_ten_thousand_events_are_the_most(door: TestClient, journaled: Journaled) -> None:
    """
    The limit itself is accepted, in bulk and in chunks of their usual size; one more is refused by the limit's name.
    """
    receipt = post(door, json.dumps([event()] * 10_000).encode()).json()
    entries = journaled()

    assert receipt["accepted"] == len(set(receipt["event_ids"])) == 10_000
    assert BatchId.parse(receipt["batch_id"]).chunks == len(entries)
    assert {"bulk"} == {entry["lane"] for entry in entries.values()}
    assert max(int(entry["events"]) for entry in entries.values()) <= 500
    found = problem(post(door, json.dumps([event()] * 10_001).encode()), 413)
    assert (found["limit"], found["maximum"]) == ("max_events", 10_000)
    assert "10,001" in found["detail"]
    assert len(journaled()) == len(entries)


def test_a_hundred_thousand_events_belong_into_a_file(door: TestClient, journaled: Journaled) -> None:
    """
    A very long array is refused as a whole, and the way to send it is named.
    """
    body = b"[" + b",".join([b'{"user":"a"}'] * 100_000) + b"]"
    found = problem(post(door, body), 413)

    assert found["limit"] == "max_events"
    assert "/api/uploads" in found["detail"]
    assert journaled() == {}


def test_a_body_over_the_limit_is_refused_by_its_name(door: TestClient, journaled: Journaled) -> None:
    """
    A body of twenty megabytes is refused, with the limit and what to do.
    """
    found = problem(post(door, raw(prompt="x" * 20_000_000)), 413)

    assert (found["limit"], found["maximum"]) == ("max_body_bytes", 10_000_000)
    assert "/api/uploads" in found["detail"]
    assert journaled() == {}


def test_every_limit_is_listed(open_door: Callable[..., TestClient]) -> None:
    """
    The limits in force are told under the names of their settings.
    """
    chosen = {
        "max_body_bytes": 123_456, "max_events": 77, "max_record_bytes": 9_999, "max_depth": 5,
        "max_name_characters": 33, "max_upload_bytes": 1_234_567, "max_pending_bytes": 2_000_000, "max_ratio": 20,
        "body_seconds": 3.5, "rate_events": 12.5, "rate_burst": 99, "idempotency_bytes": 1_500_000,
    }  # fmt: skip
    found = open_door(**chosen).get("/api/limits").json()

    assert chosen == {name: found[name] for name in chosen}
    assert found["content_types"][:2] == ["application/json", "application/x-ndjson"]
    assert found["content_encodings"] == ["gzip", "zstd", "identity"]


def test_chosen_limits_are_in_force(open_door: Callable[..., TestClient]) -> None:
    """
    A setting changes what is refused, and the problem names its value.
    """
    door = open_door(max_events=2, max_record_bytes=1000, max_body_bytes=5000, max_depth=3, max_name_characters=16)

    assert problem(post(door, json.dumps([event()] * 3).encode()), 413)["maximum"] == 2
    assert problem(post(door, raw(prompt="x" * 1000)), 413)["errors"][0]["code"] == "too_large"
    assert problem(post(door, raw(prompt="x" * 5000)), 413)["maximum"] == 5000
    assert problem(post(door, raw(n=[[[]]])), 413)["errors"][0]["code"] == "too_deep"
    assert problem(post(door, raw(user="x" * 17)), 413)["errors"][0]["code"] == "too_long"
