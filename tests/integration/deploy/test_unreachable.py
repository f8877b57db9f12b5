"""What is not there: servers that the settings name, an installation to send to, a file to send."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from deploy import client, ports, prepare
from deploy.errors import ServerAway
from tests.integration.deploy.running import ROOT, Stack, eventually

_SERVERS = [
    ("redis", "SENTINEL_REDIS_URL", "redis://127.0.0.1:{}/0", "Redis at 127.0.0.1"),
    ("database", "SENTINEL_DATABASE_URL", "postgresql://u:secret@127.0.0.1:{}/x", "PostgreSQL at 127.0.0.1"),
]


@pytest.mark.parametrize(("server", "setting", "url", "named"), _SERVERS, ids=["redis", "database"])
def test_a_server_that_is_away_is_named_and_waited_for(
    tmp_path: Path, server: str, setting: str, url: str, named: str
) -> None:
    """Within five seconds a start says which server it waits for; until it answers nothing of ours is started."""
    stack = Stack(tmp_path / "home", SENTINEL_REDIS_URL="redis://127.0.0.1:1/0", SENTINEL_DATABASE_URL=url.format(1))
    stack.env.pop({"redis": "SENTINEL_DATABASE_URL", "database": "SENTINEL_REDIS_URL"}[server])
    stack.env[setting] = url.format(ports.choose())
    began = time.monotonic()
    with stack.output.open("wb") as output:
        stack.launcher = subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", "up"], env=stack.env, cwd=ROOT, stdout=output, stderr=output
        )
    try:
        eventually(lambda: "; waiting" in stack.said(), within=15)
        waited = time.monotonic() - began
        stack.launcher.send_signal(signal.SIGTERM)

        assert stack.launcher.wait(12) == 0
    finally:
        stack.end()
    assert waited < 10
    assert f"{named}" in stack.said()
    assert setting in stack.said()
    assert "secret" not in stack.said()
    assert not {"api.log", "realtime.log"} & {path.name for path in stack.home.logs.iterdir()}


@pytest.mark.parametrize(("server", "setting", "url", "named"), _SERVERS, ids=["redis", "database"])
def test_a_server_that_stays_away_ends_the_start(
    monkeypatch: pytest.MonkeyPatch, server: str, setting: str, url: str, named: str
) -> None:
    """After the patience the wait ends with status 78, and says what to do."""
    monkeypatch.setenv(setting, url.format(ports.choose()))
    with pytest.raises(ServerAway, match=named) as ended:
        prepare.prepare(frozenset({server}), patience=0.3)

    assert ended.value.exit_code == 78
    assert setting in str(ended.value)


def test_a_server_that_refuses_the_password_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis_url: str
) -> None:
    """A wrong password is told apart from a server that is away."""
    _, _, place = redis_url.rpartition("@")
    monkeypatch.setenv("SENTINEL_REDIS_URL", f"redis://:wrong@{place}")
    with pytest.raises(ServerAway):
        prepare.prepare(frozenset({"redis"}), patience=0)

    assert "password" in capsys.readouterr().out


def test_send_says_at_once_that_it_tries_again(tmp_path: Path) -> None:
    """While nothing listens, ``send`` says so at the first attempt, and goes on trying."""
    source = tmp_path / "event.json"
    source.write_text('{"user": "alice"}')
    stack = Stack(tmp_path / "nothing")
    with (tmp_path / "said").open("wb") as said:
        sending = subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", "send", str(source)], env=stack.env, cwd=ROOT, stderr=said
        )
    try:
        eventually(lambda: "trying again" in (tmp_path / "said").read_text(), within=15)

        assert sending.poll() is None
    finally:
        sending.kill()
        sending.wait()
    assert f"No connection to http://127.0.0.1:{stack.port}/" in (tmp_path / "said").read_text()


def test_a_call_gives_up_in_time() -> None:
    """A call that nobody takes ends after its patience, and says where it went."""
    port = ports.choose()
    began = time.monotonic()
    with (
        client.connect(f"http://127.0.0.1:{port}") as connection,
        pytest.raises(client.CallFailed, match=f"No connection to http://127.0.0.1:{port}/"),
    ):
        client.insist(lambda: connection.get("/livez"), patience=0.5)

    assert time.monotonic() - began < 5


def test_a_folder_is_no_source(tmp_path: Path) -> None:
    """A folder given to ``send`` is named as one, and the exit status is 2."""
    refused = Stack(tmp_path / "nothing").command("send", str(tmp_path))

    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [f"{tmp_path} is a folder; name a file in it, or - for standard input."]


@pytest.mark.parametrize("url", ["nowhere", "http://[::1", "ftp://x"])
def test_what_is_no_address_is_refused(tmp_path: Path, url: str) -> None:
    """An address that is none is named, and the exit status is 2."""
    source = tmp_path / "event.json"
    source.write_text("{}")
    refused = Stack(tmp_path / "nothing").command("send", str(source), "--url", url)

    assert refused.returncode == 2
    assert refused.stderr.startswith(f"{url!r} is no address")


def test_a_busy_installation_is_asked_again_only_in_time() -> None:
    """An answer that asks for patience is returned as it is once the patience has ended."""
    busy = httpx2.Response(503, headers={"Retry-After": "30"})
    began = time.monotonic()

    assert client.insist(lambda: busy, patience=0.2) is busy
    assert time.monotonic() - began < 5
