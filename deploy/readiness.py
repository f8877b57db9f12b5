"""Asking the API how it is."""

import asyncio
from collections.abc import Mapping

from deploy.settings import LauncherSettings

ALIVE = "/livez"
FULL = "/readyz?full=1"
_PATIENCE = 5.0


async def ask(settings: LauncherSettings, path: str, *, patience: float = _PATIENCE) -> tuple[int, bytes] | None:
    """Return status and body of a GET, None when nothing that speaks HTTP answers in time."""
    try:
        return await asyncio.wait_for(_get(settings.own_host, settings.port, path), patience)
    except (OSError, ValueError, EOFError, IndexError, asyncio.LimitOverrunError):
        return None


async def _get(host: str, port: int, path: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        named = f"[{host}]" if ":" in host else host
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {named}:{port}\r\nConnection: close\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
        return int(head[0].split()[1]), await _body(reader, headers)
    finally:
        writer.close()


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    return await reader.read()
