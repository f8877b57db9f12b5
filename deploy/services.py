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
_NICE = 10  # for what nobody waits for
_FLOWER_TASKS = 2_000
_LEAN = ("--without-gossip", "--without-mingle")
# What the processes have in common is loaded, and made, once before they are forked.
_REHEARSED = "deploy.rehearsal:rehearse"
_PIPE = (
    "celery.bin.celery", "importlib.readers", "pipeline.health", "pipeline.queue", "psycopg2.extras",
    "sqlalchemy.dialects.postgresql.psycopg2",
)  # fmt: skip
_WORK = (
    *_PIPE, "billiard.popen_fork", "billiard.sharedctypes", "billiard.synchronize", "celery.apps.beat",
    "celery.apps.worker", "celery.concurrency.prefork", "celery.concurrency.solo", "celery.worker.autoscale",
    "celery.worker.components", "celery.worker.consumer.delayed_delivery", "alerting.receivers.webhook",
    "alerting.tasks", "workers.bench", "workers.sweep", "workers.upkeep", _REHEARSED,
)  # fmt: skip
_WEB = (
    *_PIPE,
    "dashboard.app",
    "anyio._backends._asyncio",
    "deploy.asgi",
    "fastapi.telemetry._runtime",
    "pydantic.v1",
    "uvicorn.main",
    "uvicorn.loops.uvloop",
    "pipeline.http.protocol",
    _REHEARSED,
)
_PREPARING = ("deploy.database", "pipeline.rules", "pipeline.storage.migrate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the stack runs: its data folder, its addresses, and the servers it uses.

    Attributes:
        listening: the descriptor of the API's socket, which outlives the API; None where it makes one itself.
        servers: ``SENTINEL_REDIS_URL`` and ``SENTINEL_DATABASE_URL`` of the servers that the launcher started itself.
    """

    home: Home
    settings: LauncherSettings
    remembered: Remembered
    servers: Mapping[str, str]
    listening: int | None = None

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
        # Two, so that a file is split while its chunks are judged, and both cores of a small machine are used.
        _worker(place, "bulk", "workers.app", "-P", "prefork", "-c", "2", nice=_NICE),
        # By itself: a child of its own would take as much memory again. It ends itself when a task takes too long.
        _worker(place, "alerts", "alerting.app", "-P", "solo"),
        # Two, so that the sweep goes on while something long is tidied up.
        _worker(place, "maintenance", "workers.app", "-P", "prefork", "-c", "2"),
    ]
    return {2: [_api(place), _beat(place), _flower(place)], 1: workers}


def preparation(place: Place, external: Sequence[str]) -> ProcessSpec:
    """Return the process that waits for the servers, looks at the external ones, and brings the schema up to date."""
    return _python(place, "prepare", "deploy.prepare", *external, loads=_PREPARING)


def _api(place: Place) -> ProcessSpec:
    listening = () if place.listening is None else (place.listening,)
    where = (
        ("--fd", str(place.listening))
        if listening
        else ("--host", place.settings.host, "--port", str(place.settings.port))
    )
    return _python(
        place, "api", "uvicorn", "deploy.asgi:create_app", "--factory", *where, "--loop", "uvloop",
        "--http", "pipeline.http.protocol:PatientProtocol", "--no-access-log", "--no-server-header",
        "--no-proxy-headers", "--log-level", "warning", "--timeout-graceful-shutdown", "2",
        loads=_WEB, keep_open=listening,
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
        loads=_WORK,
    )


def _beat(place: Place) -> ProcessSpec:
    folder = place.home.path / "beat"
    folder.mkdir(mode=0o700, exist_ok=True)
    schedule = str(folder / "schedule")
    return _python(
        place, "beat", "celery", "--quiet", "-A", "workers.app", "beat", "--schedule", schedule, "--pidfile=",
        loads=_WORK,
    )  # fmt: skip


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
        loads=_PIPE,
    )  # fmt: skip


def _python(
    place: Place,
    name: str,
    module: str,
    *arguments: str,
    loads: tuple[str, ...],
    keep_open: tuple[int, ...] = (),
    nice: int = 0,
    extra: Mapping[str, str] | None = None,
) -> ProcessSpec:
    # -P keeps a stranger's folder of the same name in the working folder from being imported.
    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-P", "-m", module, *arguments),
        env={**place.environment(), **(extra or {})},
        cwd=Path.cwd(),
        nice=nice,
        module=module,
        loads=loads,
        keep_open=keep_open,
    )
