"""What operators see: the command line, health, metrics, Flower, and a ledger that balances."""

import base64
import json
import secrets
from pathlib import Path

import pytest

from tests.acceptance.calling import Answer, balanced_ledger, call, event, get, judged
from tests.integration.deploy.running import Stack, eventually

QUEUES = ("realtime", "bulk", "alerts", "maintenance")


def flower(up: Stack, path: str, *, allowed: bool = True) -> Answer:
    """Get a page of Flower, with or without its password."""
    remembered = up.home.remembered()
    word = base64.b64encode(f"{remembered.flower_user}:{remembered.flower_password}".encode()).decode()
    return call(up.flower_port, "GET", path, b"", {"Authorization": f"Basic {word}"} if allowed else {})


def test_flower_shows_every_worker_to_who_may_see_it(up: Stack) -> None:
    """
    Without its password it answers 401; with it, it lists the four workers.
    """
    eventually(lambda: flower(up, "/workers").status == 200)
    assert {flower(up, path, allowed=False).status for path in ("/", "/workers", "/tasks", "/api/workers")} == {401}
    eventually(lambda: all(f"{queue}@" in flower(up, "/workers").body.decode() for queue in QUEUES))


def test_flower_shows_nothing_that_an_event_says(up: Stack) -> None:
    """
    A word planted in every field of an event, and in an upload, is on none of its pages.
    """
    planted = f"planted{secrets.token_hex(8)}"
    fields = dict.fromkeys(("user", "agent", "tool", "prompt", "response", "session_id"), planted)
    judged(up, event(**fields))
    judged(up, [event(**fields) for _ in range(501)])

    for path in ("/workers", "/tasks", "/broker", "/api/workers?refresh=1", "/api/tasks?limit=10000"):
        answer = flower(up, path)
        assert answer.status == 200, path
        assert planted.encode() not in answer.body, path
    assert b"workers.detect" in flower(up, "/api/tasks?limit=10000").body


def test_send_and_upload_bring_a_file_to_its_verdicts(up: Stack, tmp_path: Path) -> None:
    """
    Both take the same file; watching the upload ends when every event is judged.
    """
    file = tmp_path / "events.json"
    file.write_text(json.dumps([event(), event(tool="os_shell"), event()]))

    sent = up.command("send", str(file))
    uploaded = up.command("upload", str(file), "--watch")

    assert (sent.returncode, uploaded.returncode) == (0, 0), (sent, uploaded)
    assert "3 accepted, 0 rejected" in sent.stdout
    assert "done: " in uploaded.stdout
    assert "3 judged, 1 flagged" in uploaded.stdout


def test_scan_needs_no_server(up: Stack, tmp_path: Path) -> None:
    """
    It writes a verdict a line, in the order of its input, and the rules it uses are listed.
    """
    file = tmp_path / "events.ndjson"
    file.write_text(f"{json.dumps(event())}\n{json.dumps(event(tool='os_shell'))}\n")
    scanned = up.command("scan", str(file))
    listed = up.command("rules", "list")

    assert scanned.returncode == 0, scanned.stderr
    assert [json.loads(line)["outcome"] for line in scanned.stdout.splitlines()] == ["clean", "flagged"]
    assert listed.returncode == 0, listed.stderr
    assert "dangerous-tool" in listed.stdout


def test_status_says_that_all_is_well(up: Stack) -> None:
    """
    It names every process, and exits with 0.
    """
    status = up.command("status")

    assert status.returncode == 0, status
    assert all(name in status.stdout for name in (*QUEUES, "api", "beat", "flower", "valkey", "postgres"))


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/readyz?full=1", "/readyz?full=1&verbose=1"])
def test_the_stack_says_that_it_is_healthy(up: Stack, path: str) -> None:
    """
    Alive, ready to accept, and ready as a whole.
    """
    assert get(up, path).status == 200


def test_the_metrics_count_what_was_judged(up: Stack) -> None:
    """
    Prometheus reads the ledger, the queues and the workers.
    """
    judged(up, event())
    page = get(up, "/metrics").body.decode()

    assert all(f'sentinel_worker_up{{queue="{queue}"}} 1.0' in page for queue in QUEUES)
    assert "sentinel_events_judged" in page
    assert "sentinel_postgresql_up 1.0" in page


@pytest.mark.parametrize("path", ["/", "/upload", "/events", "/alerts", "/rules", "/pipeline", "/docs"])
def test_every_page_opens(up: Stack, path: str) -> None:
    """
    The pages of the header, and the description of the interface.
    """
    answer = get(up, path)

    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")


def test_the_ledger_balances(up: Stack) -> None:
    """
    Whatever the other tests sent: accepted is judged, nothing is dead, lacking or too many.
    """
    judged(up, [event(), event(tool="os_shell")])
    ledger = balanced_ledger(up)

    assert ledger["accepted"] == ledger["judged"] > 0
    assert (ledger["dead"], ledger["deficit"], ledger["surplus"]) == (0, 0, 0)
