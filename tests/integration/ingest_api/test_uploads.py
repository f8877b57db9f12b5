"""``POST /api/uploads``: what is taken into the spool, what is refused and why, and what is never left behind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from tests.integration.ingest_api.events import event, problem, raw, upload

Journaled = Callable[[], dict[str, dict[str, Any]]]
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.json"\r\n\r\n'
TAIL = b"\r\n--x--\r\n"


def _left(spool: Path) -> list[str]:
    return sorted(path.name for path in spool.iterdir()) if spool.exists() else []


@pytest.mark.parametrize(
    "content",
    [
        raw(), b"[" + raw() + b"]", b" \r\n\t[" + raw() + b"]\n", b"\xef\xbb\xbf[]", b"\xef\xbb\xbf\n" + raw(),
        b"[oops", b"{" * 300_000,
    ],
    ids=["object", "array", "blanks", "bom", "bom_and_blanks", "broken_later", "large"],
)  # fmt: skip
@pytest.mark.usefixtures("engine")
def test_a_json_file_is_spooled_whole(door: TestClient, journaled: Journaled, spool: Path, content: bytes) -> None:
    """
    What begins as JSON is on disk, byte by byte, and named in the journal when the answer is sent.
    """
    answer = upload(door, content)
    found = answer.json()
    ((entry_id, entry),) = journaled().items()

    assert answer.status_code == 202
    assert found["status_url"] == answer.headers["location"] == f"/api/uploads/{found['upload_id']}"
    assert _left(spool) == [f"{found['upload_id']}.json"] == [entry["path"]]
    assert (spool / entry["path"]).read_bytes() == content
    assert (entry_id, entry["lane"], entry["bytes_total"]) == (
        f"upload:{found['upload_id']}",
        "bulk",
        str(len(content)),
    )
    status = door.get(found["status_url"]).json()
    assert (status["state"], status["file_name"], status["bytes_read"]) == ("received", "events.json", 0)


@pytest.mark.parametrize(
    ("name", "content", "status", "title", "said"),
    [
        ("events.txt", raw(), 415, "Only .json files are accepted", "events.txt"),
        ("events.json.txt", raw(), 415, "Only .json files are accepted", "events.json.txt"),
        ("events.ndjson", raw(), 415, "Only .json files are accepted", "sentinel send"),
        ("events.jsonl", raw(), 415, "Only .json files are accepted", "application/x-ndjson"),
        ("events", raw(), 415, "Only .json files are accepted", "events"),
        ("json", raw(), 415, "Only .json files are accepted", "json"),
        ("page.json", b"<!doctype html><html></html>", 415, "The file is not JSON", "{ or ["),
        ("table.json", b"timestamp,user\n2024,alice\n", 415, "The file is not JSON", "{ or ["),
        ("value.json", b"null", 415, "The file is not JSON", "{ or ["),
        ("text.json", b'"text"', 415, "The file is not JSON", "{ or ["),
        ("packed.json", b"\x1f\x8b\x08\x00", 415, "The file is not JSON", "{ or ["),
        ("wide.json", raw().decode().encode("utf-16"), 415, "The file is not JSON", "UTF-16"),
        ("wide.json", raw().decode().encode("utf-32"), 415, "The file is not JSON", "UTF-32;"),
        ("wide.json", raw().decode().encode("utf-16-be"), 415, "The file is not JSON", "{ or ["),
        ("wide.json", raw().decode().encode("utf-16-le"), 415, "The file is not JSON", "UTF-16"),
        ("empty.json", b"", 422, "The file is empty", "Send"),
        ("blank.json", b" \n\t\r\n", 422, "The file is empty", "Send"),
        ("bom.json", b"\xef\xbb\xbf", 422, "The file is empty", "Send"),
    ],
)
def test_other_files_are_refused(
    door: TestClient, journaled: Journaled, spool: Path, name: str, content: bytes, status: int, title: str, said: str
) -> None:
    """
    What is no JSON by its name or its first byte is refused with the reason, and leaves nothing behind.
    """
    found = problem(upload(door, content, name), status)

    assert title == found["title"]
    assert said in found["detail"]
    assert _left(spool) == []
    assert journaled() == {}


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("EVENTS.JSON", "EVENTS.JSON"),
        ("../../../etc/cron.d/x.json", "x.json"),
        ("C:\\Windows\\x.json", "x.json"),
        ("/etc/passwd/../x.json", "x.json"),
        ("<script>alert(1)<%2Fscript>.json", "<script>alert(1)<%2Fscript>.json"),
        ("Übersicht für 2024.json", "Übersicht für 2024.json"),
        ("cod\u202enosj.json", "codnosj.json"),
        ("a\tb\x07.json", "ab.json"),
        ("x" * 1000 + ".json", "x" * 250 + ".json"),
        (".json", ".json"),
    ],
)
@pytest.mark.usefixtures("engine")
def test_hostile_file_names_are_only_names(
    door: TestClient, journaled: Journaled, spool: Path, name: str, kept: str
) -> None:
    """
    A file's name is shown, and decides nothing about where it lies.
    """
    body = HEAD.replace(b"a.json", name.replace("\\", "\\\\").encode()) + b"[]" + TAIL
    found = door.post("/api/uploads", content=body, headers=FORM).json()
    (entry,) = journaled().values()

    assert kept == entry["file_name"] == door.get(found["status_url"]).json()["file_name"]
    assert _left(spool) == [f"{found['upload_id']}.json"]


@pytest.mark.parametrize(
    ("body", "status", "title"),
    [
        (HEAD + b"[]", 400, "The upload was cut off"),
        (HEAD[:40], 400, "The upload was cut off"),
        (b"", 400, "The upload was cut off"),
        (HEAD + b"[]\r\n--x", 400, "The upload was cut off"),
        (b"no form at all", 400, "The form cannot be read"),
        (b"--x--\r\n", 422, "No file was sent"),
        (HEAD.replace(b'"file"', b'"other"') + b"[]" + TAIL, 422, "No file was sent"),
        (HEAD + b"[]\r\n" + HEAD + b"[]" + TAIL, 422, "Several files were sent"),
        (HEAD.replace(b'; filename="a.json"', b"") + b"[]" + TAIL, 415, "Only .json files are accepted"),
        (HEAD.replace(b"a.json", b"") + TAIL, 415, "Only .json files are accepted"),
        (b"--x\r\n" + b"A: b\r\n" * 5000 + b"\r\n" + TAIL, 400, "The form cannot be read"),
    ],
    ids=[
        "no_end", "in_header", "nothing", "half_a_boundary", "no_form", "no_part", "other_field", "two_files",
        "no_name", "empty_name", "many_headers",
    ],
)  # fmt: skip
def test_broken_forms_are_refused(
    door: TestClient, journaled: Journaled, spool: Path, body: bytes, status: int, title: str
) -> None:
    """
    A form that is cut off, or holds not exactly one file, is told so and leaves nothing behind.
    """
    assert title == problem(door.post("/api/uploads", content=body, headers=FORM), status)["title"]
    assert _left(spool) == []
    assert journaled() == {}


@pytest.mark.usefixtures("engine")
def test_a_name_in_the_extended_form_alone_is_a_name(door: TestClient) -> None:
    """
    What some clients write instead of filename is read, percent signs and all.
    """
    head = HEAD.replace(b'filename="a.json"', b"filename*=UTF-8''%C3%9Cbersicht%202024.json")
    answer = door.post("/api/uploads", content=head + b"[]" + TAIL, headers=FORM)

    assert answer.status_code == 202
    assert door.get(answer.json()["status_url"]).json()["file_name"] == "Übersicht 2024.json"


def test_other_fields_of_the_form_are_ignored(door: TestClient, spool: Path) -> None:
    """
    A form may say more than the file; none of it reaches the file.
    """
    other = b'--x\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    answer = door.post("/api/uploads", content=other + HEAD + b"[]\r\n" + other[:-2] + TAIL, headers=FORM)

    assert answer.status_code == 202
    assert (spool / f"{answer.json()['upload_id']}.json").read_bytes() == b"[]"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({}, 415),
        ({**FORM, "Content-Encoding": "br"}, 415),
        ({**FORM, "Content-Encoding": "gzip"}, 400),
        ({"Content-Type": "multipart/form-data"}, 400),
        ({"Content-Type": "multipart/form-data; boundary="}, 400),
        ({"Content-Type": f"multipart/form-data; boundary={'x' * 71}"}, 400),
    ],
)
def test_other_requests_are_refused(door: TestClient, spool: Path, headers: dict[str, str], status: int) -> None:
    """
    Only a form with a usable boundary is read.
    """
    problem(door.post("/api/uploads", content=HEAD + b"[]" + TAIL, headers=headers), status)

    assert _left(spool) == []


def test_a_file_over_the_limit_is_refused_by_its_name(open_door: Callable[..., TestClient], tmp_path: Path) -> None:
    """
    The limit is the file's, not the form's; the limit itself passes.
    """
    door = open_door(max_upload_bytes=5000)
    for size, announced in ((5001, True), (5001, False), (3_000_000, True), (3_000_000, False)):
        body = HEAD + b"[" + b" " * (size - 1) + TAIL
        content = body if announced else iter([body[:1000], body[1000:]])
        found = problem(door.post("/api/uploads", content=content, headers=FORM), 413)
        assert (found["limit"], found["maximum"]) == ("max_upload_bytes", 5000)
        assert _left(tmp_path / "spool") == []

    assert upload(door, b"[" + b" " * 4999).status_code == 202


def test_a_form_without_end_is_given_up(open_door: Callable[..., TestClient], tmp_path: Path) -> None:
    """
    A client that sends for ever beside a small file is answered, not listened to for ever.
    """
    door = open_door(max_upload_bytes=5000)
    sent: list[None] = []

    def endless() -> Any:
        yield HEAD + b"[]" + TAIL
        while len(sent) < 1000:
            sent.append(None)
            yield b"x" * 100_000

    problem(door.post("/api/uploads", content=endless(), headers=FORM), 413)
    assert _left(tmp_path / "spool") == []


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", 303),
        ("*/*", 202),
        ("application/json", 202),
        ("application/json, text/html", 202),
    ],
)
@pytest.mark.usefixtures("spool")
def test_a_browsers_form_is_led_to_the_uploads_page(door: TestClient, accept: str, status: int) -> None:
    """
    A person sees the upload's page; a program sees JSON.
    """
    answer = upload(door, raw(), Accept=accept)

    assert answer.status_code == status
    assert answer.headers["location"].startswith("/uploads/" if status == 303 else "/api/uploads/")


@pytest.mark.parametrize("end", ["", "/rejections", "/rejected.json"])
@pytest.mark.parametrize(
    "upload_id",
    ["01a2050c-4930-7e61-aaf1-68cfdbd00000", "1", "0" * 31, "..%2F..%2Fetc", "'%20OR%201=1", "%00", "x" * 500],
)
@pytest.mark.usefixtures("engine")
def test_unknown_uploads_are_not_found(door: TestClient, upload_id: str, end: str) -> None:
    """
    An id that was never given out, or that is none, is not found.
    """
    problem(door.get(f"/api/uploads/{upload_id}{end}"), 404)


def test_nothing_is_left_when_the_journal_is_full(
    open_door: Callable[..., TestClient], tmp_path: Path, journaled: Journaled
) -> None:
    """
    A file that cannot be registered is not kept, and its sender is told to send it again.
    """
    door = open_door(memory_share=0.001)
    for body in (raw(), json.dumps([event()]).encode()):
        answer = upload(door, body)
        if answer.status_code == 202:  # the first reading of Redis' memory was not in yet
            continue
        assert problem(answer, 503)["reason"] == "redis_memory"
        assert answer.headers["retry-after"]
    assert len(_left(tmp_path / "spool")) == len(journaled())


def test_the_engine_is_untouched_by_an_upload(door: TestClient, engine: Engine, spool: Path) -> None:
    """
    Taking a file needs no PostgreSQL: no connection of the pool is taken.
    """
    before = engine.pool.status()

    assert upload(door, raw()).status_code == 202
    assert before == engine.pool.status()
    assert len(_left(spool)) == 1
