"""What cannot be done, told on a page: filters that mean nothing, and files that a browser's own form sent."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from starlette.requests import Request

from dashboard.errors import error_page
from deploy.asgi import create_app
from pipeline.http import Problem
from tests.integration.dashboard.recording import BASE, Record

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
EVENT = b'{"timestamp": "2024-01-15T14:30:00Z"}'


@pytest.fixture
def whole(
    engine: Engine, redis_client: redis.Redis, redis_url: str, database_url: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[TestClient]:  # fmt: skip
    """Give a client of the application that ``sentinel up`` starts: door and pages at one origin."""
    _ = engine, redis_client
    for name, value in (("REDIS_URL", redis_url), ("DATABASE_URL", database_url), ("HOME", str(tmp_path))):
        monkeypatch.setenv(f"SENTINEL_{name}", value)
    with TestClient(create_app(), base_url=BASE, raise_server_exceptions=False, follow_redirects=False) as made:
        yield made


@pytest.mark.parametrize(
    ("path", "said", "way_back"),
    [
        ("/events?bogus=1", "Unknown: bogus.", "/events"),
        ("/events?tool=web&Outcome=clean&<b>=1", "Unknown: &lt;b&gt;, Outcome.", "/events"),
        ("/events?limit=5", "Unknown: limit.", "/events"),
        ("/alerts?bogus=1", "Unknown: bogus.", "/alerts"),
        ("/alerts?outcome=flagged", "Unknown: outcome.", "/alerts"),
        ("/events?q=" + "x" * 201, "has 201 characters; 200 are the most.", "/events"),
    ],
)
def test_a_filter_that_means_nothing_is_said_on_the_page(
    client: TestClient, path: str, said: str, way_back: str
) -> None:
    """A misspelt filter never shows the unfiltered list, and the page leads back to it."""
    answer = client.get(path, headers=BROWSER)

    assert (answer.status_code, answer.headers["content-type"]) == (422, "text/html; charset=utf-8")
    assert said in answer.text
    assert f'href="{way_back}">' in answer.text.split("<main", 1)[1]


@pytest.mark.parametrize(
    ("name", "content", "status", "said"),
    [
        ("events.txt", EVENT, 415, "Only .json files are accepted"),
        ("<img src=x>.txt", EVENT, 415, "This is &lt;img src=x&gt;.txt"),
        ("events.json", b"", 422, "The file is empty"),
        ("events.json", b"text", 415, "The file is not JSON"),
    ],
)
def test_a_refused_file_is_told_to_a_browsers_form_on_a_page(
    whole: TestClient, name: str, content: bytes, status: int, said: str
) -> None:
    """Without a script the form shows what was wrong in the usual layout, with a way back to itself."""
    answer = whole.post("/api/uploads", files={"file": (name, content)}, headers=BROWSER)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert said in answer.text
    assert '<nav aria-label="Main">' in answer.text
    assert 'href="/upload">Back to the upload form</a>' in answer.text


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/html"])
def test_a_refused_file_is_a_problem_for_a_program(whole: TestClient, accept: str) -> None:
    """A program gets the same refusal as JSON."""
    answer = whole.post("/api/uploads", files={"file": ("events.txt", EVENT)}, headers={"Accept": accept})

    assert (answer.status_code, answer.headers["content-type"]) == (415, "application/problem+json")


def test_a_link_to_json_stays_json_for_a_browser(whole: TestClient) -> None:
    """A browser that follows a link to an endpoint reads the endpoint's own problem."""
    answer = whole.get("/api/uploads/1", headers=BROWSER)

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_every_link_of_the_pages_leads_somewhere(whole: TestClient, record: Record) -> None:
    """No link carries a parameter that the page behind it does not know."""
    (event_id,) = record({"tool": "os_shell", "session_id": "s"})
    record({"session_id": "s"})
    paths = ["/", "/?range=7d&show=all", "/docs", "/events?user=alice&tool!=x", f"/events/{event_id}"]
    links = set()
    for path in (*paths, "/alerts?user=alice", "/rules", "/rules/keyword-sudo", "/pipeline", "/upload"):
        page = html.unescape(whole.get(path, headers=BROWSER).text)
        links |= set(re.findall(r'href="(/(?!static/)[^"#]*)', page))

    assert len(links) > len(paths)
    assert [(link, found) for link in links if (found := whole.get(link, headers=BROWSER).status_code) != 200] == []


@pytest.mark.parametrize(("method", "asks_again"), [("GET", True), ("POST", False)])
def test_only_what_was_read_is_asked_for_again(method: str, *, asks_again: bool) -> None:
    """A page that waits for a server reloads itself; a form that was posted is left to the person."""
    request = Request({"type": "http", "method": method, "path": "/api/uploads", "headers": []})

    answer = error_page(request, Problem(503, "Away", "Wait.", headers={"Retry-After": "5"}))

    assert answer.headers["retry-after"] == "5"
    assert (b"data-live" in answer.body) == (b"asks again by itself" in answer.body) == asks_again
