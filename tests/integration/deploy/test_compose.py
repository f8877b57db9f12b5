"""The Compose file: what can be known of it without running containers."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import services
from deploy.settings import LauncherSettings
from deploy.state import Home, Remembered

_DEPLOY = Path(services.__file__).parent
_OURS = {"api", "realtime", "bulk", "alerts", "maintenance", "beat", "flower"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """Give the parsed file."""
    parsed: dict[str, Any] = yaml.safe_load((_DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return parsed


def test_every_process_is_a_service_of_its_own(compose: dict[str, Any]) -> None:
    """There is one service for each process, the real servers, and the migration."""
    assert set(compose["services"]) == _OURS | {"valkey", "postgres", "migrate"}


def test_containers_run_what_the_launcher_runs(compose: dict[str, Any], tmp_path: Path) -> None:
    """Each worker consumes the same queue with the same pool in a container as under ``sentinel up``."""
    home = Home(tmp_path)
    home.make()
    place = services.Place(home=home, settings=LauncherSettings(), remembered=Remembered(), servers={})
    launched = {spec.name: spec.argv for specs in services.processes(place).values() for spec in specs}

    assert set(launched) == _OURS
    for name in ("realtime", "bulk", "alerts", "maintenance"):
        contained = [part for part in compose["services"][name]["command"] if part != "celery"]
        assert [part for part in contained if part not in launched[name]] == []


def test_only_loopback_is_published(compose: dict[str, Any]) -> None:
    """The API and Flower are published on 127.0.0.1, the servers' ports not at all."""
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}

    assert set(published) == {"api", "flower"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_no_secret_has_a_default() -> None:
    """Every password must be given, and the example lists each, empty."""
    text = (_DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    example = (_DEPLOY / ".env.example").read_text(encoding="utf-8")
    words = set(re.findall(r"\$\{(\w*PASSWORD)[^}]*\}", text))

    assert words == {"SENTINEL_VALKEY_PASSWORD", "SENTINEL_POSTGRES_PASSWORD", "SENTINEL_FLOWER_PASSWORD"}
    assert re.findall(r"\$\{\w*PASSWORD(?!:\?)", text) == []
    assert [word for word in words if f"{word}=\n" not in example] == []


def test_ours_start_when_the_servers_are_healthy_and_migrated(compose: dict[str, Any]) -> None:
    """Each process waits for the migration, which waits for PostgreSQL; both servers tell their health."""
    for name in _OURS:
        assert compose["services"][name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert compose["services"]["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert all("healthcheck" in compose["services"][name] for name in ("valkey", "postgres", "api"))


def test_the_journal_is_as_durable_in_a_container(compose: dict[str, Any]) -> None:
    """Valkey fsyncs before it answers and never evicts, as a 202 promises."""
    (script,) = compose["services"]["valkey"]["command"]

    for line in ("appendonly yes", "appendfsync always", "maxmemory-policy noeviction"):
        assert line in script
