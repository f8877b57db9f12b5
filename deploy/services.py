"""The processes of the stack: what each one is, and with which settings it is started."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.process import ProcessSpec
from deploy.settings import LauncherSettings
from deploy.state import Home, Remembered

_ROOT = Path(__file__).resolve().parent.parent
_NICE = 5  # for what nobody waits for
_FLOWER_TASKS = 2_000
_LEAN = ("--without-gossip", "--without-mingle")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the stack runs: its data folder, its addresses, and the servers it uses.

    Attributes:
        servers: ``SENTINEL_REDIS_URL`` and ``SENTINEL_DATABASE_URL`` of the servers that the launcher started itself.
    """

    home: Home
    settings: LauncherSettings
    remembered: Remembered
    servers: Mapping[str, str]

    def environment(self) -> dict[str, str]:
        """Return the environment of every process of ours."""
        return {
            **os.environ,
            **self.servers,
            "SENTINEL_HOME": str(self.home.path),
            "SENTINEL_HOST": self.settings.host,
            "SENTINEL_PORT": str(self.settings.port),
            "SENTINEL_FLOWER_PORT": str(self.settings.flower_port),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")])),
            "PYTHONUNBUFFERED": "1",
            # Root in a container is usual, and our messages are JSON.
            "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",
        }


def newest_schema() -> str:
    """Return the name of the newest migration, without loading anything."""
    return max(path.stem for path in (_ROOT / "pipeline" / "migrations" / "versions").glob("[0-9]*.py"))


def processes(place: Place) -> dict[int, list[ProcessSpec]]:
    """Return the processes by stage; the workers outlive those that give them work."""
    workers = [
        _worker(place, "realtime", "workers.app", "-P", "prefork", "-c", "1"),
        _worker(place, "bulk", "workers.app", "-P", "prefork", "-c", "1", nice=_NICE),
        _worker(place, "alerts", "alerting.app", "-P", "prefork", "-c", "1"),
        # Two, so that the sweep goes on while something long is tidied up.
        _worker(place, "maintenance", "workers.app", "-P", "prefork", "-c", "2"),
    ]
    return {2: [_api(place), _beat(place), _flower(place)], 1: workers}


def preparation(place: Place, external: Sequence[str]) -> ProcessSpec:
    """Return the process that waits for the servers, looks at the external ones, and brings the schema up to date."""
    return _python(place, "prepare", "deploy.prepare", *external)


def _api(place: Place) -> ProcessSpec:
    settings = place.settings
    return _python(
        place, "api", "uvicorn", "deploy.asgi:create_app", "--factory", "--host", settings.host,
        "--port", str(settings.port), "--loop", "uvloop", "--http", "httptools", "--no-access-log",
        "--no-server-header", "--no-proxy-headers", "--log-level", "warning", "--timeout-graceful-shutdown", "2",
    )  # fmt: skip


def _worker(place: Place, queue: str, app: str, *pool: str, nice: int = 0) -> ProcessSpec:
    return _python(
        place,
        queue,
        "celery",
        "--quiet",
        "-A",
        app,
        "worker",
        "-Q",
        queue,
        "-n",
        f"{queue}@%h",
        *pool,
        *_LEAN,
        nice=nice,
    )


def _beat(place: Place) -> ProcessSpec:
    folder = place.home.path / "beat"
    folder.mkdir(mode=0o700, exist_ok=True)
    schedule = str(folder / "schedule")
    return _python(
        place, "beat", "celery", "--quiet", "-A", "workers.app", "beat", "--schedule", schedule, "--pidfile="
    )


def _flower(place: Place) -> ProcessSpec:
    remembered = place.remembered
    return _python(
        place, "flower", "celery", "--quiet", "-A", "workers.app", "flower", "--address=127.0.0.1",
        f"--port={place.settings.flower_port}", "--logging=warning",
        extra={
            "FLOWER_BASIC_AUTH": f"{remembered.flower_user}:{remembered.flower_password}",
            "FLOWER_READ_ONLY": "true",
            "FLOWER_MAX_TASKS": str(_FLOWER_TASKS),
        },
        nice=_NICE,
    )  # fmt: skip


def _python(
    place: Place, name: str, module: str, *arguments: str, nice: int = 0, extra: Mapping[str, str] | None = None
) -> ProcessSpec:
    # -P keeps a stranger's folder of the same name in the working folder from being imported.
    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-P", "-m", module, *arguments),
        env={**place.environment(), **(extra or {})},
        cwd=Path.cwd(),
        nice=nice,
    )
