"""NDJSON and compressed bodies at the door: each line by itself, each body as it was before it was compressed."""

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from pipeline.chunk import decode
from tests.integration.ingest_api.events import event, post, problem, raw
from tests.unit.ingest_api.packing import PACK

Journaled = Callable[[], dict[str, dict[str, Any]]]
LINES = {"Content_Type": "application/x-ndjson"}


def _users(journaled: Journaled) -> list[str]:
    return [item.event.user for entry in journaled().values() for item in decode(entry["body"]).events]


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/x-ndjson; charset=UTF-8", "application/jsonl"])
@pytest.mark.parametrize("end", [b"\n", b"", b"\r\n", b"\n\n \t\n"])
def test_each_line_is_an_event(door: TestClient, journaled: Journaled, kind: str, end: bytes) -> None:
    """
    Lines end as they like, blank ones hold nothing, a mark before the first is passed over.
    """
    body = b"\xef\xbb\xbf\n" + raw(user="a") + b"\r\n\n  " + raw(user="b") + b" \n" + raw(user="c") + end
    receipt = post(door, body, Content_Type=kind).json()

    assert (receipt["accepted"], receipt["rejected"], len(receipt["event_ids"])) == (3, 0, 3)
    assert _users(journaled) == ["a", "b", "c"]


def test_a_bad_line_is_one_rejected_record(door: TestClient, journaled: Journaled) -> None:
    """
    It costs the others nothing, whatever is wrong with it, and its number says which it is.
    """
    mixed = raw()[:-1] + b', "x": "\xff"}'
    bad = [b'{"user": ', b"[" + raw() + b"]", raw() + raw(), b"{}", mixed, b"nonsense", b'"text"']
    body = b"\n\n".join([raw(user="a"), *bad, raw(user="z")])
    answer = post(door, body, **LINES)
    receipt = answer.json()

    assert (receipt["accepted"], receipt["rejected"]) == (2, len(bad))
    assert answer.headers["sentinel-rejected"] == str(len(bad))
    assert [found["index"] for found in receipt["errors"]] == list(range(1, 8))
    assert [found["line"] for found in receipt["errors"]] == list(range(3, 17, 2))
    assert all(f"line {found['line']}: " in found["detail"] for found in receipt["errors"])
    codes = ["not_json", "not_an_object", "not_json", "missing", "invalid_utf8", "not_json", "not_an_object"]
    assert [found["code"] for found in receipt["errors"]] == codes
    assert receipt["event_ids"][1:-1] == [None] * len(bad)
    assert _users(journaled) == ["a", "z"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 422, "empty"),
        (b"\n \r\n\t\n", 422, "empty"),
        (b"{}\n[]", 422, "line 1"),
        (raw().decode().encode("utf-16"), 400, "UTF-16"),
        (b"\n".join([raw()] * 10_001), 413, "max_events"),
        (b"\n" * 9_999_999 + b"{", 422, "line 10,000,000"),
    ],
    ids=["empty", "blank", "none", "utf-16", "many", "blank lines"],
)
def test_lines_without_an_event_are_refused(
    door: TestClient, journaled: Journaled, body: bytes, status: int, said: str
) -> None:
    """
    Where nothing can be taken, the reason is that of an array, and so are the limits.
    """
    assert said.replace(",", "") in problem(post(door, body, **LINES), status)["detail"].replace(",", "")
    assert journaled() == {}


def test_all_lines_or_none(door: TestClient, journaled: Journaled) -> None:
    """
    With ``atomic`` a bad line refuses every other.
    """
    problem(post(door, raw() + b"\n{}", "/api/events?atomic=true", **LINES), 422)

    assert journaled() == {}


@pytest.mark.parametrize("coding", sorted(PACK))
def test_a_compressed_body_is_what_it_was(door: TestClient, journaled: Journaled, coding: str) -> None:
    """
    Arrays, lines and single events arrive whole; a broken body is not taken, and a bomb names its limit.
    """
    pack, chance = PACK[coding], random.Random(1)  # noqa: S311 - the same texts every time
    assert post(door, pack(raw(user="a")), Content_Encoding=coding).json()["accepted"] == 1
    assert post(door, pack(raw(user="b") + b"\n{"), Content_Encoding=coding, **LINES).json()["rejected"] == 1
    many = json.dumps([event(user="c")] * 10_000).encode()
    assert post(door, pack(many), Content_Encoding=coding).json()["accepted"] == 10_000
    assert len(_users(journaled)) == 10_002

    assert "middle" in problem(post(door, pack(many)[:-9], Content_Encoding=coding), 400)["detail"]
    assert problem(post(door, pack(b" " * 9_000_000), Content_Encoding=coding), 413)["limit"] == "max_ratio"
    over = b"".join(pack(raw(prompt=chance.randbytes(20_000).hex())) for _ in range(300))
    assert problem(post(door, over, Content_Encoding=coding), 413)["limit"] == "max_body_bytes"
    assert problem(post(door, pack(b""), Content_Encoding=coding), 422)["title"] == "Nothing was sent"
    assert len(_users(journaled)) == 10_002


@pytest.mark.parametrize("coding", sorted(PACK))
def test_a_compressed_form_is_spooled_as_it_was(door: TestClient, spool: Path, coding: str) -> None:
    """
    A whole form may be compressed; the file in it is spooled plain, and a bomb leaves nothing.
    """
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.json"\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Encoding": coding}

    def send(content: bytes) -> Any:
        form = PACK[coding](head + content + b"\r\n--x--\r\n")
        return door.post("/api/uploads", content=form, headers=headers)

    content = json.dumps([event(user=f"u{number}") for number in range(5_000)]).encode()
    found = send(content).json()
    assert (spool / f"{found['upload_id']}.json").read_bytes() == content
    assert problem(send(b"[" + b" " * 50_000_000), 413)["limit"] == "max_ratio"
    assert len(list(spool.iterdir())) == 1


def test_gzip_of_an_old_name(door: TestClient) -> None:
    """
    What old clients call x-gzip is gzip.
    """
    assert post(door, gzip.compress(raw()), Content_Encoding="x-gzip").status_code == 202


def test_a_body_that_was_encoded_twice_is_refused_by_its_codings(door: TestClient) -> None:
    """
    Two headers are one list, and none of them is left out.
    """
    headers = [("Content-Type", "application/json"), ("Content-Encoding", "identity"), ("Content-Encoding", "gzip")]
    answer = door.post("/api/events", content=gzip.compress(raw()), headers=headers)

    assert "identity, gzip" in problem(answer, 415)["detail"]
