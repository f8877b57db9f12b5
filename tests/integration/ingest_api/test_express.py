"""The express way of ``POST /api/events`` answers as the ordinary one does, and rings as Celery itself would."""

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from celery import Celery
from fastapi import FastAPI
from httpx2 import Response
from pydantic import SecretStr
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from pipeline.ids import EventId
from pipeline.journal import Lane
from pipeline.queue import Queue, make_celery, oldest_ring, ring
from pipeline.settings import PipeSettings
from tests.integration.ingest_api.apart import create_app
from tests.integration.ingest_api.events import JSON, raw

Journaled = Callable[[], dict[str, dict[str, Any]]]
LINES = {"Content-Type": "application/x-ndjson"}
_VARIES = {"request_id", "batch_id", "status_url", "event_ids", "rejections_url"}
_OWN_HEADERS = {"x-request-id", "location"}


@pytest.fixture
def both_ways(settings_of_the_door: Callable[..., None], engine: object) -> Iterator[tuple[TestClient, TestClient]]:
    """Give a client of the app, and one of the same app whose requests pass through FastAPI's own stack."""
    del engine
    settings_of_the_door(max_body_bytes=100_000)
    app = create_app()

    async def ordinary(scope: Scope, receive: Receive, send: Send) -> None:
        await FastAPI.__call__(app, scope, receive, send)

    base = "http://127.0.0.1:8000"
    with TestClient(app, base_url=base, raise_server_exceptions=False) as express:
        other = TestClient(ordinary, base_url=base, raise_server_exceptions=False)
        other.portal = express.portal  # one event loop for both
        yield express, other


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


def _constant(answer: Response) -> tuple[int, dict[str, str], dict[str, object]]:
    headers = {name: value for name, value in answer.headers.items() if name not in _OWN_HEADERS}
    return answer.status_code, headers, {k: v for k, v in answer.json().items() if k not in _VARIES}


@pytest.mark.parametrize(
    ("body", "query", "headers"),
    [
        (raw(), "", {}),
        (b"[" + raw() + b",1]", "", {}),
        (b"[" + raw() + b",1]", "?atomic=true", {}),
        (b"[" + raw() + b",1]", "?atomic=on", {}),
        (b"[" + raw() + b",1]", "?atomic=0&other=1", {}),
        (b"nul", "", {}),
        (b"[]", "", {}),
        (b'{"user": 5}', "", {}),
        (b" " * 100_001, "", {}),
        (raw(), "", {"Content-Type": "text/plain"}),
        (raw(), "", {"Content-Encoding": "br"}),
        (raw(), "", {"Content-Encoding": "gzip"}),
        (gzip.compress(b" " * 5_000_000), "", {"Content-Encoding": "gzip"}),
        (raw() + b"\n1", "", LINES),
        (b"\n", "", LINES),
        (b"[" * 50_000, "", {}),
        (b'{"user": "\xed\xa0\x80"}', "", {}),
        (raw(), "", {"Idempotency-Key": "a b"}),
        (raw(), "", {"Content-Type": ""}),
        (raw(), "", {"Accept": "text/html"}),
        (b"nul", "", {"Accept": "text/html"}),
        (raw(), "", {"Authorization": "Basic \xe4"}),
        (raw(), "", {"Host": "[::1"}),
        (raw(), "", {"Origin": "http://evil.example"}),
        (raw(), "", {"Host": "evil.example"}),
        (raw(), "", {"Sec-Fetch-Site": "cross-site"}),
    ],
)
def test_both_ways_give_the_same_answer(
    both_ways: tuple[TestClient, TestClient], body: bytes, query: str, headers: dict[str, str]
) -> None:
    """
    Status, headers and body are the same, but for the ids.
    """
    express, ordinary = (
        client.post("/api/events" + query, content=body, headers=_encoded({**JSON, **headers})) for client in both_ways
    )

    assert _constant(express) == _constant(ordinary)
    assert len(express.headers["x-request-id"]) == len(ordinary.headers["x-request-id"]) == 16


def test_a_parameter_that_is_no_flag_is_refused_either_way(both_ways: tuple[TestClient, TestClient]) -> None:
    """
    Neither way takes ``atomic=perhaps`` for something.
    """
    for client in both_ways:
        answer = client.post("/api/events?atomic=perhaps", content=raw(), headers=JSON)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/query/atomic"


def test_another_method_and_another_path_are_no_events(both_ways: tuple[TestClient, TestClient]) -> None:
    """
    What is not exactly the express route goes the ordinary way.
    """
    for client in both_ways:
        assert client.get("/api/events").status_code == 405
        assert client.post("/api/events/", content=raw(), headers=JSON, follow_redirects=False).status_code in {
            307,
            404,
        }


def test_a_fault_of_the_server_is_a_problem_with_an_id(
    both_ways: tuple[TestClient, TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An error that nobody expects is answered as one, and says nothing of itself.
    """
    monkeypatch.setattr("ingest_api.understanding.plain_event", lambda *_: 1 / 0)
    for client in both_ways:
        answer = client.post("/api/events", content=raw(), headers=JSON)
        assert answer.status_code == 500
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
        assert "ZeroDivision" not in answer.text


def test_the_doorbell_is_one_that_celery_reads(
    door: TestClient, redis_client: redis.Redis, redis_url: str, database_url: str, journaled: Journaled
) -> None:
    """
    The message that the script lays on the queue is read like one that Celery wrote, and names the chunk and its ring.
    """
    pipe = PipeSettings(redis_url=SecretStr(redis_url), database_url=SecretStr(database_url))
    app = make_celery(pipe, "test")
    chunk = EventId.parse(door.post("/api/events", content=raw(), headers=JSON).json()["event_ids"][0]).chunk.hex
    stamp = int(journaled()[chunk]["ring"])
    assert oldest_ring(redis_client, Lane.REALTIME) == str(stamp)
    ours = _taken(app)
    ring(app, Lane.REALTIME, [chunk], stamp)
    celerys = _taken(app)

    assert ours.payload == celerys.payload
    assert ours.payload[0][:2] == [chunk, stamp]
    differ = {"id", "root_id", "origin", "argsrepr"}
    assert {k: v for k, v in ours.headers.items() if k not in differ} == {
        k: v for k, v in celerys.headers.items() if k not in differ
    }
    assert ours.headers["id"] == chunk
    assert ours.properties.keys() >= celerys.properties.keys() - {"reply_to"}


def _taken(app: Celery) -> Any:
    with app.connection_for_read() as connection, connection.channel() as channel:
        queue = app.amqp.queues[Queue.REALTIME].bind(channel)
        found = queue.get(no_ack=True)
    assert found is not None
    json.dumps(found.payload)
    return found
