"""Asking the API: whatever answers, the launcher goes on."""

import asyncio

import pytest

from deploy import ports, readiness
from deploy.settings import LauncherSettings


@pytest.mark.parametrize("answer", [b"", b"\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 ok\r\n\r\n", b"x" * 200_000])
def test_what_speaks_no_http_has_not_answered(answer: bytes) -> None:
    """
    A head that is empty, cut short, or without end is as good as no answer.
    """

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async def ask() -> object:
        port = ports.choose()
        async with await asyncio.start_server(answering, "127.0.0.1", port):
            return await readiness.ask(LauncherSettings(host="127.0.0.1", port=port), readiness.FULL)

    assert asyncio.run(ask()) is None
