"""What is answered while a server is away, frozen or full, and that nothing is acknowledged which is not on disk."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
import redis
from httpx2 import ASGITransport, AsyncClient, Response
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from ingest_api.app import create_app
from pipeline.chunk import decode
from pipeline.ids import EventId
from pipeline.storage import transaction
from tests import servers
from tests.integration.ingest_api.events import JSON, event, eventually, post, problem, raw, upload

Journaled = Callable[[], dict[str, dict[str, Any]]]
PATIENCE = 2.0


@contextmanager
def _killed(server: servers.Server) -> Iterator[None]:
    server.kill()
    try:
        yield
    finally:
        server.restart()


@contextmanager
def _frozen(server: servers.Server) -> Iterator[None]:
    assert server.running is not None
    os.kill(server.running.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.running.pid, signal.SIGCONT)


def _timed(ask: Callable[[], Response]) -> tuple[Response, float]:
    began = time.monotonic()
    answer = ask()
    return answer, time.monotonic() - began


@pytest.mark.parametrize("away", [_killed, _frozen])
@pytest.mark.usefixtures("engine")
def test_redis_away_is_answered_in_time_and_heals(
    door: TestClient,
    redis_server: servers.Server,
    journaled: Journaled,
    away: Callable[[servers.Server], Any],
) -> None:
    """
    While Redis is dead or frozen a post is told to come again, within two seconds; afterwards the next one is taken.
    """
    before = post(door, raw(user="before")).json()["event_ids"]
    with away(redis_server):
        for ask in (lambda: post(door, raw(user="during")), lambda: upload(door, raw())):
            answer, seconds = _timed(ask)
            assert problem(answer, 503)["reason"] == "redis_away"
            assert int(answer.headers["retry-after"]) >= 1
            assert seconds < PATIENCE
    after = post(door, raw(user="after"))

    assert after.status_code == 202
    chunks = {id_: decode(entry["body"]) for id_, entry in journaled().items() if "body" in entry}
    acknowledged = [EventId.parse(found) for found in (*before, *after.json()["event_ids"])]
    assert ["before", "after"] == [chunks[id_.chunk.hex].events[id_.position].event.user for id_ in acknowledged]


def test_no_upload_stays_in_the_spool_when_redis_is_away(
    door: TestClient, redis_server: servers.Server, spool: Any  # noqa: ANN401 - a folder
) -> None:
    """
    A file whose sender is told to send it again is not kept.
    """
    with _killed(redis_server):
        problem(upload(door, raw()), 503)

    assert [] == list(spool.iterdir())


def test_postgresql_away_hinders_no_post(
    door: TestClient, engine: Engine, postgres_server: servers.Server, journaled: Journaled
) -> None:
    """
    Without PostgreSQL posts and uploads are accepted; only reading says that it is away, and heals.
    """
    postgres_server.stop()
    try:
        receipt = post(door, raw()).json()
        answer = door.get(receipt["status_url"])
        assert receipt["accepted"] == 1
        assert upload(door, raw()).status_code == 202
        assert problem(answer, 503)["reason"] == "postgresql_away"
        assert answer.headers["retry-after"]
    finally:
        postgres_server.restart()

    assert door.get(receipt["status_url"]).json()["state"] == "queued"
    assert len(journaled()) == 2
    engine.dispose()


def test_what_was_acknowledged_during_an_outage_reaches_the_witness(
    door: TestClient, engine: Engine, postgres_server: servers.Server
) -> None:
    """
    The independent count of accepted events catches up once PostgreSQL is back.
    """

    def witnessed() -> int:
        with transaction(engine) as connection:
            return int(connection.execute(text("SELECT coalesce(sum(events), 0) FROM witness")).scalar_one())

    eventually(lambda: witnessed() == witnessed())
    before = witnessed()
    engine.dispose()
    postgres_server.stop()
    try:
        for _ in range(3):
            assert post(door, raw()).status_code == 202
    finally:
        postgres_server.restart()

    eventually(lambda: witnessed() >= before + 3, seconds=10)


def test_redis_near_its_bound_refuses_with_the_reason(
    door: TestClient, redis_client: redis.Redis, journaled: Journaled
) -> None:
    """
    Above its share of Redis' memory new events are refused before Redis refuses everybody, until there is room again.
    """
    bound = redis_client.config_get("maxmemory")["maxmemory"]
    used = int(cast("dict[str, int]", redis_client.info("memory"))["used_memory"])
    redis_client.config_set("maxmemory", int(used / 0.75))
    try:
        eventually(lambda: post(door, raw()).status_code == 503)
        journal = journaled()
        for answer in (post(door, raw()), upload(door, raw())):
            assert problem(answer, 503)["reason"] == "redis_memory"
            assert answer.headers["retry-after"]
        assert journal.keys() == journaled().keys()
    finally:
        redis_client.config_set("maxmemory", bound)

    eventually(lambda: post(door, raw()).status_code == 202)


def test_redis_refusing_for_want_of_memory_is_said_as_that(
    open_door: Callable[..., TestClient], redis_client: redis.Redis, journaled: Journaled
) -> None:
    """
    Should Redis itself refuse, nothing was taken, and the reason is told.
    """
    door = open_door(memory_share=0.99)
    bound = redis_client.config_get("maxmemory")["maxmemory"]
    try:
        redis_client.config_set("maxmemory", 1)
        answer = post(door, raw())
        assert problem(answer, 503)["reason"] == "redis_memory"
        assert {} == journaled()
    finally:
        redis_client.config_set("maxmemory", bound)


async def _all_at_once(bodies: list[bytes]) -> list[Response]:
    app = create_app()
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://127.0.0.1:8000") as client,
    ):
        asked = (client.post("/api/events", content=body, headers=JSON) for body in bodies)
        return list(await asyncio.gather(*asked))


@pytest.mark.usefixtures("engine")
def test_concurrent_posts_travel_together(
    settings_of_the_door: Callable[..., None], redis_client: redis.Redis, journaled: Journaled
) -> None:
    """
    Two hundred posts at once are two hundred receipts with ids of their own, in a few chunks.
    """
    settings_of_the_door()
    answers = asyncio.run(_all_at_once([raw(user=f"u{number}") for number in range(200)]))
    ids = [answer.json()["event_ids"][0] for answer in answers]
    entries = journaled()
    chunks = {id_: decode(entry["body"]) for id_, entry in entries.items()}

    assert {202} == {answer.status_code for answer in answers}
    assert len(set(ids)) == 200 == sum(int(entry["events"]) for entry in entries.values())
    for number, found in enumerate(map(EventId.parse, ids)):
        assert chunks[found.chunk.hex].events[found.position].event.user == f"u{number}"
    assert len(entries) <= 50
    assert redis_client.llen("realtime") == len(entries)


@pytest.mark.usefixtures("engine")
def test_concurrent_posts_of_every_size_are_all_kept(
    settings_of_the_door: Callable[..., None], journaled: Journaled
) -> None:
    """
    Single events, arrays with bad records and large arrays at once: every id leads to its own event.
    """
    settings_of_the_door()
    posts = [
        [event(user=f"{number}/{index}") if index % 7 else None for index in range(size)]
        for number, size in enumerate([2, 3, 9, 600, 2, 50, 1300, 9] * 5)
    ]
    answers = asyncio.run(_all_at_once([json.dumps(records).encode() for records in posts]))
    chunks = {id_: decode(entry["body"]) for id_, entry in journaled().items()}
    seen = set()

    assert {202} == {answer.status_code for answer in answers}
    for number, answer in enumerate(answers):
        for index, found in enumerate(answer.json()["event_ids"]):
            assert (found is None) == (index % 7 == 0)
            if found is not None:
                place = EventId.parse(found)
                assert chunks[place.chunk.hex].events[place.position].event.user == f"{number}/{index}"
                seen.add(found)
    assert len(seen) == sum(len(chunk.events) for chunk in chunks.values())


@pytest.mark.usefixtures("engine")
def test_too_much_at_once_is_refused_not_hoarded(
    settings_of_the_door: Callable[..., None], journaled: Journaled
) -> None:
    """
    What does not fit beside what waits for the journal is refused; what was acknowledged is there.
    """
    settings_of_the_door(max_pending_bytes=1_000_000)
    answers = asyncio.run(_all_at_once([raw(prompt="x" * 400_000) for _ in range(30)]))
    taken = [answer.json()["event_ids"][0] for answer in answers if answer.status_code == 202]

    assert {202, 503} >= {answer.status_code for answer in answers}
    assert taken
    assert len(taken) == len(set(taken)) == sum(int(entry["events"]) for entry in journaled().values())
    assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 503)
