"""``Idempotency-Key``: the same answer again, and the events once, whatever was lost in between."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
import redis
from httpx2 import Response
from sqlalchemy import Engine
from starlette.testclient import TestClient

from pipeline.chunk import decode
from pipeline.errors import JournalUnavailable
from pipeline.intake import Intake
from pipeline.journal import KeptReceipt, NewChunk
from pipeline.storage import keys, transaction
from tests.integration.ingest_api.apart import create_app
from tests.integration.ingest_api.events import event, post, problem, raw

Journaled = Callable[[], dict[str, dict[str, Any]]]


def _users(journaled: Journaled) -> list[str]:
    return sorted(item.event.user for entry in journaled().values() for item in decode(entry["body"]).events)


def _same(one: Response, other: Response) -> bool:
    names = ("location", "sentinel-rejected", "content-type")
    return (one.status_code, one.content, *(one.headers.get(name) for name in names)) == (
        other.status_code, other.content, *(other.headers.get(name) for name in names),
    )  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [raw(), json.dumps([event(), {}, event(user="b")]).encode(), json.dumps([event()] * 3_000).encode()],
    ids=["one", "partly", "several chunks"],
)
def test_the_same_request_gets_the_same_answer(door: TestClient, journaled: Journaled, body: bytes) -> None:
    """
    The receipt is repeated byte by byte, with its headers and the word that it is; the events are taken once.
    """
    first = post(door, body, Idempotency_Key="a-key")
    before = journaled()
    again = post(door, body, Idempotency_Key="a-key")

    assert first.status_code == 202
    assert "idempotency-replayed" not in first.headers
    assert _same(first, again)
    assert again.headers["idempotency-replayed"] == "true"
    assert journaled() == before
    assert not _same(first, post(door, body, Idempotency_Key="another"))
    assert sum(int(entry["events"]) for entry in journaled().values()) == 2 * first.json()["accepted"]


def test_a_key_names_one_body(door: TestClient, journaled: Journaled) -> None:
    """
    The same key with another body is refused and takes nothing; the first body goes on being answered.
    """
    first = post(door, raw(user="a"), Idempotency_Key="k")

    assert "another body" in problem(post(door, raw(user="b"), Idempotency_Key="k"), 422)["title"]
    assert _same(first, post(door, raw(user="a"), Idempotency_Key="k"))
    assert _users(journaled) == ["a"]


def test_what_was_refused_leaves_no_key_behind(door: TestClient, journaled: Journaled) -> None:
    """
    A request that was not accepted may be corrected and sent under the same key.
    """
    problem(post(door, b"[{}]", Idempotency_Key="k"), 422)

    assert post(door, raw(user="a"), Idempotency_Key="k").status_code == 202
    assert _users(journaled) == ["a"]


@pytest.mark.parametrize("keys", [[""], ["a b"], ["x" * 256], ["\u00e4"], ["a", "b"]])
def test_what_is_no_key_is_refused(door: TestClient, journaled: Journaled, keys: list[str]) -> None:
    """
    A key has its length and its characters, and is one.
    """
    answer = door.post(
        "/api/events",
        content=raw(),
        headers=[
            (b"content-type", b"application/json"),
            *((b"idempotency-key", key.encode("latin-1")) for key in keys),
        ],
    )

    assert "visible ASCII" in problem(answer, 400)["detail"]
    assert journaled() == {}


class _LosesAnswers(Intake):
    """The real way to the journal; the answers of the first flushes are lost, after the script ran or before."""

    lost: list[str]

    async def accept(
        self, acceptor: str, flush: int, chunks: Sequence[NewChunk], receipts: Sequence[KeptReceipt] = ()
    ) -> tuple[int, list[bytes]]:
        how = self.lost.pop(0) if self.lost else ""
        found = (0, []) if how == "before" else await super().accept(acceptor, flush, chunks, receipts)
        if how:
            raise JournalUnavailable
        return found


@pytest.mark.parametrize("lost", [["after"], ["before"], ["after", "after"], ["before", "after"], ["before", "before"]])
def test_an_answer_that_was_lost_is_repeated_truthfully(
    open_door: Callable[..., TestClient], journaled: Journaled, monkeypatch: pytest.MonkeyPatch, lost: list[str]
) -> None:
    """
    Whether the journal's answer was lost before or behind the step, and once or until 503: the client's retry gets a
    202, and the event is there once.
    """
    _LosesAnswers.lost = list(lost)
    monkeypatch.setattr("ingest_api.state.Intake", _LosesAnswers)
    door = open_door(create_app)

    first = post(door, raw(user="a"), Idempotency_Key="k")
    again = post(door, raw(user="a"), Idempotency_Key="k")

    assert first.status_code == (202 if len(lost) == 1 else 503)
    assert again.status_code == 202
    assert first.status_code == 503 or _same(first, again)
    assert _users(journaled) == ["a"]
    (chunk,) = journaled()
    assert again.json()["event_ids"] == [f"{chunk}.0"]


def test_two_processes_take_a_request_once(open_door: Callable[..., TestClient], journaled: Journaled) -> None:
    """
    A retry that reaches another process gets the first one's answer.
    """
    one, other = open_door(), open_door()
    first, again = (post(door, raw(user="a"), Idempotency_Key="k") for door in (one, other))

    assert _same(first, again)
    assert _users(journaled) == ["a"]


def test_a_request_in_progress_is_not_run_twice(
    open_door: Callable[..., TestClient], journaled: Journaled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    While the journal has not answered, the same key is a 409 that says when to come again.
    """
    gate, waiting = asyncio.Event(), asyncio.Event()

    class Slow(Intake):
        async def accept(self, *given: Any) -> tuple[int, list[bytes]]:
            waiting.set()
            await gate.wait()
            return await super().accept(*given)

    monkeypatch.setattr("ingest_api.state.Intake", Slow)
    door = open_door(create_app)
    portal = door.portal
    assert portal is not None
    first = portal.start_task_soon(lambda: asyncio.to_thread(post, door, raw(), Idempotency_Key="k"))
    portal.call(waiting.wait)
    second = post(door, raw(), Idempotency_Key="k")
    portal.call(gate.set)

    assert problem(second, 409)["title"] == "The same request is being answered"
    assert second.headers["retry-after"] == "1"
    assert first.result(10).status_code == 202
    assert len(journaled()) == 1


def test_keys_belong_to_whoever_speaks(open_door: Callable[..., TestClient], engine: Engine) -> None:
    """
    Two API keys may use the same idempotency key; neither learns of the other's receipt.
    """
    with transaction(engine) as connection:
        secrets = [keys.create(connection, name=name, scopes=["ingest"]) for name in ("one", "other")]
    door = open_door()
    answers = [
        post(door, raw(), Idempotency_Key="k", Authorization=f"Bearer {secret}") for secret in (*secrets, secrets[0])
    ]

    assert [answer.status_code for answer in answers] == [202] * 3
    assert _same(answers[0], answers[2])
    assert not _same(answers[0], answers[1])


def test_a_day_later_a_key_is_as_good_as_new(door: TestClient, redis_client: redis.Redis) -> None:
    """
    A receipt is kept for 24 hours.
    """
    first = post(door, raw(), Idempotency_Key="old")
    ages = "sentinel:receipts:ages"
    (name,) = cast("list[bytes]", redis_client.zrange(ages, 0, -1))
    redis_client.zincrby(ages, -86_399_000_000, name)
    assert _same(first, post(door, raw(), Idempotency_Key="old"))
    redis_client.zincrby(ages, -1_000_000, name)

    assert not _same(first, post(door, raw(), Idempotency_Key="old"))
    assert redis_client.zcard(ages) == 1


def test_the_oldest_receipts_make_room(redis_url: str, redis_client: redis.Redis) -> None:
    """
    Receipts take as much memory as they are given; the oldest go first, and what is counted is what is there.
    """

    async def fill() -> list[list[bytes]]:
        intake = Intake(redis_url, "", timeout=5, receipt_bytes=10_000)
        names = [*range(100), 99, 0]
        found = [
            await intake.accept("a", flush, [], [KeptReceipt(str(name), b"r" * (name + 1))])
            for flush, name in enumerate(names, 1)
        ]
        await intake.close()
        return [kept for _, kept in found]

    kept = asyncio.run(fill())
    left = [int(name) for name in cast("list[bytes]", redis_client.zrange("sentinel:receipts:ages", 0, -1))]

    assert [len(each[0]) for each in kept] == [*range(1, 101), 100, 1]
    assert left == [*range(100 - len(left) + 1, 100), 0]
    assert 0 not in left[:-1]
    held = int(redis_client.hget("sentinel:bytes", "receipts") or 0)
    assert held == sum(200 + len(value) for value in redis_client.hvals("sentinel:receipts"))
    assert 9_500 < held <= 10_000
