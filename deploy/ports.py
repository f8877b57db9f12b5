"""Ports on loopback: which are free, and which to take."""

import random
import socket
from pathlib import Path

_LOWEST = 15_000
_USUAL_EPHEMERAL = 32_768
_TRIES = 200
_BACKLOG = 2048


def listen(port: int, host: str) -> socket.socket:
    """Return a socket that listens on a port.

    Raises:
        OSError: another one does, or it is not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    # Connections inherit it. uvicorn takes an inherited socket for a Unix one, and would leave answers to wait 40 ms.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def is_free(port: int) -> bool:
    """Say whether a server could listen on a port of 127.0.0.1 now."""
    try:
        listen(port, "127.0.0.1").close()
    except OSError:
        return False
    return True


def choose() -> int:
    """Return a free port outside the range from which the system takes the ports of clients.

    A client that keeps calling a server which is down may be given the server's own port, connect to itself, and keep
    the server from coming back: so a server's port must not lie in that range.
    """
    chosen = random.SystemRandom()
    for _ in range(_TRIES):
        port = chosen.randrange(_LOWEST, max(_ephemeral_start(), _LOWEST + 1_000))
        if is_free(port):
            return port
    message = "no free port was found on 127.0.0.1"
    raise OSError(message)


def keep_or_choose(port: int | None) -> int:
    """Return the port that was used before if it is still free, else another."""
    return port if port is not None and is_free(port) else choose()


def _ephemeral_start() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        return _USUAL_EPHEMERAL
