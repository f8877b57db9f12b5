"""``docs/api.md`` is executed: every request in it is sent to the real application, and every answer compared."""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path

import pytest
import redis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from dashboard import guide
from deploy import banner
from deploy.asgi import create_app
from deploy.settings import LauncherSettings
from deploy.state import Home, Remembered
from detection import Scanner, Severity, load_rule_set
from ingest_api.schema import EVENT_SCHEMA, EVENTS_OPENAPI
from pipeline.journal import UPLOAD, Journal, Lane
from pipeline.records import RecordLimits, RejectedRecordError, to_event
from pipeline.settings import PipeSettings
from tests.architecture import tree
from workers import detect, split
from workers.split import SplitBench

_PAGE = (tree.ROOT / "docs" / "api.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```http\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ANYTHING = "…"
_LIMITS = RecordLimits(1_000_000, 32, 512)


@dataclass
class Message:
    """A request or an answer, as the page shows it."""

    first: str
    headers: dict[str, str]
    body: str

    @classmethod
    def read(cls, block: str) -> "Message":
        """Read one block of the page."""
        head, _, body = block.partition("\n\n")
        first, *lines = head.strip().splitlines()
        return cls(first, dict(line.split(": ", 1) for line in lines), body.rstrip("\n"))


@dataclass
class Ids:
    """Which real id stands for which id of the page."""

    real: dict[str, str] = field(default_factory=dict)

    def put_in(self, text: str) -> str:
        """Replace the page's ids by the real ones."""
        return _ID.sub(lambda found: self.real.get(found[0], found[0]), text)

    def learn(self, expected: str, actual: str) -> bool:
        """Compare two texts; an id that is new stands from now on for the one in its place."""
        pattern = re.escape(_ID.sub("\0", expected)).replace(_ANYTHING, ".*").replace("\0", f"({_ID.pattern})")
        found = re.fullmatch(pattern.replace("\\\0", f"({_ID.pattern})"), actual, re.DOTALL)
        if found is None:
            return False
        names = _ID.findall(expected)
        return all(self.real.setdefault(name, real) == real for name, real in zip(names, found.groups(), strict=True))


def _is_as_shown(expected: object, actual: object, ids: Ids) -> bool:
    """Say whether an answer is the one the page shows; an ellipsis stands for anything."""
    if expected == _ANYTHING:
        return True
    if isinstance(expected, str):
        return isinstance(actual, str) and ids.learn(expected, actual)
    if isinstance(expected, list):
        return (
            isinstance(actual, list)
            and len(actual) == len(expected)
            and all(_is_as_shown(one, other, ids) for one, other in zip(expected, actual, strict=True))
        )
    if isinstance(expected, dict):
        named = {name: value for name, value in expected.items() if name != _ANYTHING}
        if not isinstance(actual, dict) or not (_ANYTHING in expected or named.keys() == actual.keys()):
            return False
        return all(name in actual and _is_as_shown(value, actual[name], ids) for name, value in named.items())
    return expected == actual


@dataclass
class Workers:
    """Does what the worker processes do, here and now."""

    journal: Journal
    bench: detect.Bench
    splitting: SplitBench

    def work(self) -> None:
        """Split and judge until the journal is empty."""
        for upload in self.journal.open_uploads():
            split.run(f"{UPLOAD}{upload}", self.splitting)
        for chunk in self.journal.read()[2]:
            detect.run(chunk.chunk_id, self.bench)


@pytest.fixture
def app(
    redis_client: redis.Redis, engine: Engine, redis_url: str, database_url: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> FastAPI:  # fmt: skip
    """Give the application of ``sentinel up`` on empty servers."""
    _ = redis_client, engine
    for name, value in (("REDIS_URL", redis_url), ("DATABASE_URL", database_url), ("HOME", str(tmp_path))):
        monkeypatch.setenv(f"SENTINEL_{name}", value)
    return create_app()


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """Give a client of the running application."""
    with TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def workers(redis_client: redis.Redis, engine: Engine, tmp_path: Path) -> Workers:
    """Give the workers."""
    journal, rules, pipe = Journal(redis_client), load_rule_set(), PipeSettings(home=tmp_path)
    bench = detect.Bench(journal, engine, Scanner(rules), rules.version, Severity.LOW, lambda: None)
    splitting = SplitBench(
        journal=journal, engine=engine, spool=pipe.spool, limits=pipe.record_limits,
        bulk_bytes=pipe.bulk_bytes, splitter="splitter-test", ring=lambda _entries, _stamp: None, acknowledged={},
    )  # fmt: skip
    return Workers(journal, bench, splitting)


def test_every_dialog_of_the_page_happens_as_shown(client: TestClient, workers: Workers) -> None:
    """
    The requests of the page, sent in its order, get the answers that it shows.
    """
    blocks = [Message.read(block) for block in _BLOCK.findall(_PAGE)]
    ids = Ids()
    assert len(blocks) > 10

    for request, shown in zip(blocks[::2], blocks[1::2], strict=True):
        method, path = ids.put_in(request.first).split(" ")
        is_form = request.headers.get("Content-Type", "").startswith("multipart/")
        body = request.body.replace("\n", "\r\n") if is_form else request.body
        answer = client.request(method, path, headers=request.headers, content=body.encode())
        workers.work()

        status, reason = shown.first.split(" ", 2)[1:]
        assert answer.status_code == int(status), (request.first, answer.text)
        assert reason == HTTPStatus(int(status)).phrase
        for name, value in shown.headers.items():
            assert ids.learn(value, answer.headers[name]), (request.first, name, answer.headers[name])
        assert _is_as_shown(json.loads(shown.body), answer.json(), ids), (request.first, answer.text, ids.real)


def test_the_page_names_every_path_and_no_other(app: FastAPI) -> None:
    """
    Every operation of the OpenAPI document is on the page, and the page names none that is not there.
    """
    operations = {
        f"{method.upper()} {re.sub(r'{[a-z_]+}', '{}', path)}"
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }
    named = set()
    for method, path in re.findall(r"\b(GET|POST|DELETE) (/[\w/{}.-]+)", _PAGE):
        named.add(f"{method} {re.sub(r'{[a-z_]+}', '{}', re.sub(rf'({_ID.pattern})[.0-9]*', '{}', path))}")

    assert named == operations


def test_the_limits_are_the_ones_that_errors_and_settings_name(client: TestClient) -> None:
    """
    Every numeric limit of ``/api/limits`` is a setting of that name.
    """
    settings = (tree.ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    limits = client.get("/api/limits").json()

    assert [name for name in limits if name.startswith("max_") and f"`SENTINEL_{name.upper()}`" not in settings] == []


def _codes(module: ast.Module) -> Iterator[str]:
    places = {"RejectedRecordError": 1, "Refused": 2}
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in places:
            code = node.args[places[node.func.id]]
            if isinstance(code, ast.Constant):
                yield str(code.value)


def test_every_code_of_a_refusal_is_on_the_page() -> None:
    """
    The codes that the code gives are the codes that the page lists.
    """
    sources = [tree.ROOT / name for name in ("pipeline/records.py", "ingest_api/parse.py", "workers/split.py")]
    given = {code for source in sources for code in _codes(ast.parse(source.read_text(encoding="utf-8")))}
    listed = re.search(r"may be refused for: (.+?)\n\n", _PAGE, re.DOTALL)
    assert listed is not None

    assert set(re.findall(r"`(\w+)`", listed[1])) == given


def _event(**members: object) -> bytes:
    example = EVENTS_OPENAPI["requestBody"]["content"]["application/json"]["examples"]["single"]["value"]
    return json.dumps({**example, **members}).encode()


def _code(raw: bytes) -> str | None:
    try:
        to_event(raw, _LIMITS)
    except RejectedRecordError as error:
        return error.code
    return None


def test_the_documented_event_is_the_one_that_is_accepted() -> None:
    """
    What the schema requires is required, its types are checked, and what it leaves open is left open.
    """
    examples = EVENTS_OPENAPI["requestBody"]["content"]["application/json"]["examples"].values()
    bodies = [found["value"] for found in examples]
    events = [event for body in bodies for event in (body if isinstance(body, list) else [body])]
    assert [_code(json.dumps(event).encode()) for event in events] == [None] * len(events)

    for name, schema in EVENT_SCHEMA["properties"].items():
        without = {key: value for key, value in json.loads(_event()).items() if key != name}
        wrong = "text" if schema["type"] == "object" else {}
        right = {"a": 1} if schema["type"] == "object" else "2024-01-15T14:30:00Z"
        assert _code(json.dumps(without).encode()) == ("missing" if name in EVENT_SCHEMA["required"] else None), name
        assert _code(_event(**{name: wrong})) == "type", name
        assert _code(_event(**{name: right})) is None, name
        assert (_code(_event(**{name: ""})) == "empty") == (schema.get("minLength", 0) > 0), name
    assert EVENT_SCHEMA["additionalProperties"]
    assert _code(_event(something_else=[1, 2])) is None


def test_the_readme_posts_what_the_pages_tell_to_post() -> None:
    """
    The command of the README is the one that the upload page and the first screen show.
    """
    readme = (tree.ROOT / "README.md").read_text(encoding="utf-8")
    url = "http://127.0.0.1:8000"

    assert guide.curl(url) in readme
    home = Home(tree.ROOT)
    shown = banner.screen(LauncherSettings(), home, Remembered(), seconds=1.0, command="sentinel")
    assert guide.curl(LauncherSettings().url) in shown


def test_a_request_is_followed_by_its_answer() -> None:
    """
    On the page, requests and answers take turns.
    """
    kinds = [block.startswith("HTTP/") for block in _BLOCK.findall(_PAGE)]

    assert kinds[0] is False
    assert all(one is not other for one, other in pairwise(kinds))


def test_batches_of_the_page_travel_live(client: TestClient, redis_client: redis.Redis) -> None:
    """
    More than 500 events travel on the bulk lane, as the page says; 500 do not.
    """
    journal = Journal(redis_client)
    event = json.loads(_event())
    for count, lane in ((500, Lane.REALTIME), (501, Lane.BULK)):
        before = journal.open_counts()[lane]
        assert client.post("/api/events", json=[event] * count).status_code == 202
        assert journal.open_counts()[lane] > before
