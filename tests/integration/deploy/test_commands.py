"""The command line against a running stack."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.integration.deploy.running import Stack, stack

EVENT = {
    "timestamp": "2024-01-15T14:30:00Z", "user": "alice", "agent": "ChatBot", "tool": "web_search",
    "prompt": "Search for information", "response": "Search completed successfully",
}  # fmt: skip


@pytest.fixture(scope="module")
def up() -> Iterator[Stack]:
    """Give a running stack."""
    with servers.temporary_folder() as folder, stack(folder / "data") as running:
        yield running


@pytest.mark.parametrize(
    ("content", "accepted"),
    [
        (json.dumps(EVENT, indent=2), 1),
        (json.dumps([EVENT, EVENT], indent=2), 2),
        (f"{json.dumps(EVENT)}\n\n{json.dumps(EVENT)}\n{json.dumps(EVENT)}", 3),
    ],
    ids=["object", "array", "one a line"],
)
def test_send_takes_an_object_an_array_and_lines(up: Stack, tmp_path: Path, content: str, accepted: int) -> None:
    """Each of the three forms is sent whole, and its receipt shown."""
    source = tmp_path / "events"
    source.write_text(content)
    sent = up.command("send", str(source))

    assert sent.returncode == 0, sent.stderr
    assert f"{accepted} accepted, 0 rejected" in sent.stdout


def test_send_goes_in_batches(up: Stack, tmp_path: Path) -> None:
    """More events than a batch holds are sent in several, and counted together."""
    source = tmp_path / "events.json"
    source.write_text(json.dumps([EVENT] * 7))
    sent = up.command("send", str(source), "--batch", "3")

    assert sent.stdout.count("batch ") == 3
    assert "7 accepted, 0 rejected" in sent.stdout


def test_send_names_the_rejected_records_over_all_batches(up: Stack, tmp_path: Path) -> None:
    """A record without its fields is named by its number in the source, and the exit status is 3."""
    source = tmp_path / "events.json"
    source.write_text(json.dumps([EVENT, EVENT, EVENT, {"user": "bob"}]))
    sent = up.command("send", str(source), "--batch", "2")

    assert sent.returncode == 3
    assert "record 4: " in sent.stderr
    assert "3 accepted, 1 rejected" in sent.stdout


@pytest.mark.parametrize("content", ["", "nonsense", '{"user": '])
def test_send_refuses_what_is_not_json(up: Stack, tmp_path: Path, content: str) -> None:
    """A source that is not JSON is named, and the exit status is 2."""
    source = tmp_path / "events.json"
    source.write_text(content)
    sent = up.command("send", str(source))

    assert sent.returncode == 2
    assert str(source) in sent.stderr


def test_upload_is_watched_to_its_end(up: Stack, tmp_path: Path) -> None:
    """An uploaded file is followed until its events are judged; a rejected record is shown, and the status is 3."""
    source = tmp_path / "events.json"
    source.write_text(json.dumps([EVENT] * 1000 + [{"user": "bob"}]))
    uploaded = up.command("upload", str(source), "--watch")

    assert uploaded.returncode == 3, uploaded.stderr
    assert "1000 judged" in uploaded.stdout
    assert "record 1001: " in uploaded.stderr


def test_upload_of_another_kind_of_file_fails_with_the_reason(up: Stack, tmp_path: Path) -> None:
    """A file that is not .json is refused in the server's words."""
    source = tmp_path / "events.csv"
    source.write_text("timestamp,user\n")
    uploaded = up.command("upload", str(source))

    assert uploaded.returncode == 1
    assert "415" in uploaded.stderr


def test_a_key_closes_the_door_and_opens_it(up: Stack, tmp_path: Path) -> None:
    """Once a key exists, sending needs one; a revoked one opens nothing, and with none left the door is open again."""
    source = tmp_path / "event.json"
    source.write_text(json.dumps(EVENT))
    created = up.command("keys", "create", "laptop", "--scope", "ingest")
    key = created.stdout.strip()
    (key_id,) = [line.split()[0] for line in up.command("keys", "list").stdout.splitlines() if "laptop" in line]
    try:
        assert up.command("send", str(source), SENTINEL_API_KEY="snt_wrong").returncode == 1
        assert up.command("send", str(source), SENTINEL_API_KEY=key).returncode == 0
    finally:
        revoked = up.command("keys", "revoke", key_id)

    assert revoked.returncode == 0
    assert key not in up.command("keys", "list").stdout
    assert up.command("keys", "revoke", key_id).returncode == 1


def test_a_scope_that_does_not_exist_is_refused(up: Stack) -> None:
    """A wrong scope is named as such, with the right ones."""
    refused = up.command("keys", "create", "laptop", "--scope", "everything")

    assert refused.returncode == 2
    assert "ingest, read and admin" in refused.stderr


def test_keys_without_a_stack_says_what_to_do(tmp_path: Path) -> None:
    """Where nothing runs, a command that needs the database says so, and how to start it."""
    nothing = Stack(tmp_path / "nothing")
    refused = nothing.command("keys", "list")

    assert refused.returncode == 3
    assert "sentinel up" in refused.stderr
    assert nothing.command("status").returncode == 3
    assert nothing.command("down").returncode == 0


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    """A setting that cannot be read ends the command with its name, and no stack trace."""
    refused = Stack(tmp_path / "nothing", SENTINEL_PORT="eighty").command("up")

    assert refused.returncode == 78
    assert refused.stderr.startswith("SENTINEL_PORT: ")
    assert "Traceback" not in refused.stderr
