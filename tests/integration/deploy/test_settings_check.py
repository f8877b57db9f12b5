"""What is wrong with the settings is said before anything is started, in one line that names the setting."""

import os
from pathlib import Path

import pytest

from deploy import ports, settings_check
from deploy.settings_check import WrongSettings
from tests.integration.deploy.running import Stack

_FAULTS = [
    ({"SENTINEL_REDIS_URL": "http://x"}, "SENTINEL_REDIS_URL: 'http' is not the scheme"),
    ({"SENTINEL_REDIS_URL": "redis://x:port/0"}, "SENTINEL_REDIS_URL: its host or port"),
    ({"SENTINEL_REDIS_URL": "redis://x/first"}, "SENTINEL_REDIS_URL: the database"),
    ({"SENTINEL_DATABASE_URL": "mysql://x"}, "SENTINEL_DATABASE_URL: 'mysql' is not the scheme"),
    ({"SENTINEL_DATABASE_URL": "postgresql://x:port/y"}, "SENTINEL_DATABASE_URL: its host or port"),
    ({"SENTINEL_REDIS_URL_FILE": "/nope"}, "SENTINEL_REDIS_URL_FILE: '/nope' cannot be read"),
    ({"SENTINEL_HOME": "/dev/null/home"}, "SENTINEL_HOME: '/dev/null/home' cannot be used"),
    ({"SENTINEL_PACKS": "/dev/null/rules"}, "SENTINEL_PACKS: there is no folder '/dev/null/rules'"),
    ({"SENTINEL_SITE_PACKS": "/dev/null/rules"}, "SENTINEL_SITE_PACKS: there is no folder '/dev/null/rules'"),
    ({"SENTINEL_OVERRIDES": "/dev/null/rules"}, "SENTINEL_OVERRIDES: there is no file '/dev/null/rules'"),
    ({"SENTINEL_HOST": "nosuch.invalid"}, "SENTINEL_HOST: 'nosuch.invalid' is neither"),
    ({"SENTINEL_HOST": "999.1.1.1"}, "SENTINEL_HOST: '999.1.1.1' is neither"),
    ({"SENTINEL_HOST": "192.0.2.1"}, "SENTINEL_HOST: '192.0.2.1' is not an address of this machine"),
    ({"SENTINEL_ALERT_WEBHOOK_URL": "foo"}, "SENTINEL_ALERT_WEBHOOK_URL: this is no address"),
    ({"SENTINEL_ALERT_WEBHOOK_URL": "https:///path"}, "SENTINEL_ALERT_WEBHOOK_URL: its host"),
    ({"SENTINEL_MAX_EVENTS": "0"}, "SENTINEL_MAX_EVENTS: "),
    ({"SENTINEL_ALERT_CONCURRENCY": "0"}, "SENTINEL_ALERT_CONCURRENCY: "),
]


def refused(stack: Stack) -> str:
    """Return the one line with which a start is refused, after which nothing runs."""
    ended = stack.command("up")

    assert ended.returncode == 78, ended.stderr
    assert not stack.home.logs.exists() or list(stack.home.logs.iterdir()) == []
    (line,) = (ended.stdout + ended.stderr).splitlines()
    return line


@pytest.mark.parametrize(("settings", "said"), _FAULTS, ids=[said.partition(":")[0] for _, said in _FAULTS])
def test_a_fault_is_one_line_before_anything_starts(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    """Each fault ends the start with status 78, its setting and what is wrong with it."""
    assert refused(Stack(tmp_path / "home", **settings)).startswith(said)


def test_a_file_is_no_data_folder(tmp_path: Path) -> None:
    """A data folder that is a file is refused by name."""
    home = tmp_path / "home"
    home.touch()

    assert refused(Stack(home)).startswith(f"SENTINEL_HOME: '{home}' cannot be used")


def test_two_services_cannot_share_a_port(tmp_path: Path) -> None:
    """The same port for Flower and the API is refused, with both settings named."""
    port = str(ports.choose())
    line = refused(Stack(tmp_path / "home", SENTINEL_PORT=port, SENTINEL_FLOWER_PORT=port))

    assert line.startswith(f"SENTINEL_FLOWER_PORT: it is {port}, and so is SENTINEL_PORT")


def test_packs_that_do_not_load_are_refused(tmp_path: Path) -> None:
    """A pack with a fault is refused with its place."""
    packs = tmp_path / "packs"
    packs.mkdir()
    (packs / "web.yaml").write_text("rules: [")
    line = refused(Stack(tmp_path / "home", SENTINEL_PACKS=str(packs)))

    assert line.startswith("SENTINEL_PACKS: the rules do not load: ")
    assert "web.yaml:" in line


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"valkey_password": 1, "postgres_password": "x"}'])
def test_a_damaged_memory_is_refused(tmp_path: Path, content: str) -> None:
    """A damaged ``state.json`` is not replaced, for the databases need the passwords in it."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "state.json").write_text(content)
    line = refused(Stack(home))

    assert line.startswith(f"{home / 'state.json'} is damaged")
    assert (home / "state.json").read_text() == content


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    """Several faults are several lines, and no password is in any of them."""
    ended = Stack(
        tmp_path / "home", SENTINEL_REDIS_URL="amqp://:secret@x", SENTINEL_DATABASE_URL="postgresql://u:secret@x:p/y"
    ).command("up")

    assert ended.returncode == 78
    assert [line.partition(":")[0] for line in ended.stderr.splitlines()] == [
        "SENTINEL_REDIS_URL",
        "SENTINEL_DATABASE_URL",
    ]
    assert "secret" not in ended.stderr


def test_every_fault_of_form_is_told_at_once(tmp_path: Path) -> None:
    """What several parts of the stack find wrong are lines in one answer, and a setting of them all is told once."""
    ended = Stack(
        tmp_path / "home",
        SENTINEL_PORT="x",
        SENTINEL_MAX_DEPTH="0",
        SENTINEL_MAX_EVENTS="0",
        SENTINEL_ALERT_CONCURRENCY="0",
    ).command("up")

    assert ended.returncode == 78
    assert sorted(line.partition(":")[0] for line in ended.stderr.splitlines()) == [
        "SENTINEL_ALERT_CONCURRENCY", "SENTINEL_MAX_DEPTH", "SENTINEL_MAX_EVENTS", "SENTINEL_PORT",
    ]  # fmt: skip


def test_a_file_of_settings_that_is_no_text_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an editor saved as UTF-16 is said in words."""
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("SENTINEL_PORT=8001", encoding="utf-16")

    with pytest.raises(WrongSettings, match=r"\.env: it cannot be read \(it is not text\)"):
        settings_check.pipe_settings()


def test_what_only_looks_like_a_setting_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that was mistyped, here or in the file of settings, is told with the one that may be meant."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("SENTINEL_")]:
        monkeypatch.delenv(name)
    for name in ("RETENTION_DAY", "API_KEY", "PORT", "REDIS_URL_FILE"):
        monkeypatch.setenv(f"SENTINEL_{name}", "1")
    Path(".env").write_text("SENTINEL_QUARK=1\nsentinel_host=127.0.0.1\n")

    assert list(settings_check.unknown()) == [
        "Warning: SENTINEL_QUARK is no setting, and does nothing.",
        "Warning: SENTINEL_RETENTION_DAY is no setting, and does nothing. Is SENTINEL_RETENTION_DAYS meant?",
    ]


def test_a_command_for_the_database_names_its_setting(tmp_path: Path) -> None:
    """``keys list`` with an address of another kind of database says so."""
    ended = Stack(tmp_path / "home", SENTINEL_DATABASE_URL="mysql://x").command("keys", "list")

    assert ended.returncode == 78
    assert ended.stderr.startswith("SENTINEL_DATABASE_URL: ")
