"""``/api/batches``: what became of a request, and what of it was refused."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from detection import Scanner, Severity, load_rule_set
from pipeline.chunk import decode
from pipeline.ids import ChunkId, new_uuid
from pipeline.storage import transaction, verdicts
from tests.integration.ingest_api.events import event, post, problem, raw

NOW = datetime.now(UTC)
Journaled = Callable[[], dict[str, dict[str, Any]]]


def _judge(engine: Engine, journaled: Journaled) -> None:
    rules = load_rule_set()
    scanner = Scanner(rules)
    with transaction(engine) as connection:
        for entry_id, entry in journaled().items():
            chunk, origin = decode(entry["body"]), verdicts.Origin(ChunkId.parse(entry_id), "realtime", NOW, "test")
            judged = verdicts.Judged(origin, chunk, [scanner.scan(accepted.event) for accepted in chunk.events])
            verdicts.record(connection, [judged], rule_set=rules.version, send_from=Severity.LOW)


@pytest.mark.usefixtures("engine")
def test_a_batch_waits_until_it_is_judged(door: TestClient) -> None:
    """
    An accepted request is found under its status URL, with its own count, though others share its chunk.
    """
    receipts = [post(door, json.dumps([event()] * count).encode()).json() for count in (1, 3, 1200)]
    found = [door.get(receipt["status_url"]).json() for receipt in receipts]

    assert [
        (receipt["batch_id"], "queued", count, 0) for receipt, count in zip(receipts, (1, 3, 1200), strict=True)
    ] == [(status["batch_id"], status["state"], status["accepted"], status["judged"]) for status in found]


def _forgeries(batch_id: str) -> list[str]:
    chunk, first, count, chunks = batch_id.split(".")
    return [
        f"{chunk}.{first}.{int(count) + 1}.{chunks}",
        f"{chunk}.{int(first) + 1}.{count}.{chunks}",
        f"{chunk}.{first}.{count}.2",
        f"{chunk}.{first}.999999999.65536",
        f"{chunk}.0{first}.{count}.{chunks}",
        f"{chunk}.{first}.0.{chunks}",
        f"{new_uuid().hex}.{first}.{count}.{chunks}",
        f"{'f' * 32}.0.2.2",
        chunk,
        "..%2F..",
        "x" * 5000,
    ]


@pytest.mark.usefixtures("engine")
def test_made_up_batches_are_not_found(door: TestClient) -> None:
    """
    An id that was never given out is not found, however near it comes to one that was.
    """
    for forged in _forgeries(post(door, raw()).json()["batch_id"]):
        for end in ("", "/rejections", "/rejected.json"):
            problem(door.get(f"/api/batches/{forged}{end}"), 404)


def test_refused_records_of_a_batch_are_listed(door: TestClient, engine: Engine, journaled: Journaled) -> None:
    """
    Once a worker kept them, a batch's refused records are shown with reason and content, page by page.
    """
    receipt = post(door, json.dumps([event(), {"a": 1}, None, event(prompt="\ud83d", user=5)]).encode()).json()
    _judge(engine, journaled)
    first = door.get(receipt["rejections_url"], params={"limit": 2})
    rest = door.get(first.headers["link"].split(">")[0].removeprefix("<"))

    assert [(found["index"], found["pointer"], found["code"], found["record"]) for found in first.json()] == [
        (1, "/timestamp", "missing", {"a": 1}),
        (2, "", "not_an_object", None),
    ]
    assert [(found["index"], found["pointer"], found["code"]) for found in rest.json()] == [(3, "/user", "type")]
    assert "link" not in rest.headers


@pytest.mark.parametrize("body", [[event()], [event(), {"a": 1}]], ids=["none_refused", "one_refused"])
@pytest.mark.usefixtures("engine")
def test_before_a_batch_is_judged_nothing_is_said_of_refused_records(door: TestClient, body: list[object]) -> None:
    """
    An empty list would be a false one until the refused records are written down.
    """
    url = post(door, json.dumps(body).encode()).json()["status_url"]

    for end in ("/rejections", "/rejected.json"):
        answer = door.get(url + end)
        assert problem(answer, 409)["title"] == "Not judged yet"
        assert answer.headers["retry-after"] == "1"


def test_refused_records_come_back_as_a_file(door: TestClient, engine: Engine, journaled: Journaled) -> None:
    """
    The refused records alone are an array that can be corrected and sent again.
    """
    receipt = post(door, json.dumps([event(), {"a": "é"}, event(), [1]]).encode()).json()
    _judge(engine, journaled)
    answer = door.get(f"{receipt['status_url']}/rejected.json")

    assert answer.json() == [{"a": "é"}, [1]]
    assert 'filename="rejected.json"' in answer.headers["content-disposition"]


def test_a_batch_without_refused_records_has_an_empty_list(
    door: TestClient, engine: Engine, journaled: Journaled
) -> None:
    """
    Nothing refused is an empty array, in both forms.
    """
    url = post(door, raw()).json()["status_url"]
    _judge(engine, journaled)

    assert [] == door.get(f"{url}/rejections").json() == door.get(f"{url}/rejected.json").json()


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "after=-2"])
@pytest.mark.usefixtures("engine")
def test_unusable_pages_are_refused(door: TestClient, query: str) -> None:
    """
    A page that cannot be is a problem that names the parameter.
    """
    url = post(door, raw()).json()["status_url"]

    assert problem(door.get(f"{url}/rejections?{query}"), 422)["errors"][0]["pointer"].startswith("/query/")
