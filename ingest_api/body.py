"""Reading a request's body within its limits, whatever its headers claim."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from email.message import Message
from functools import lru_cache

from starlette.requests import ClientDisconnect, Request

from pipeline.http import Problem

_PATIENCE = 4
_PATIENCE_SECONDS = 1.0


def require_json(request: Request) -> None:
    """Let only ``application/json`` in UTF-8, without a content coding, pass.

    Raises:
        Problem: 415, with what to send instead.
    """
    _refuse_media(request.headers.get("content-type", ""))
    refuse_coding(request)


@lru_cache(maxsize=64)
def _refuse_media(text: str) -> None:
    given = Message()
    given["content-type"] = text
    charset = given.get_content_charset("utf-8")
    if not text or given.get_content_type() != "application/json":
        raise Problem(415, "Unsupported media type", "Send events as 'Content-Type: application/json'.")
    if charset not in {"utf-8", "us-ascii"}:
        raise Problem(415, "Unsupported media type", f"JSON travels as UTF-8, not as {charset}.")


def refuse_coding(request: Request) -> None:
    """Refuse compressed bodies.

    Raises:
        Problem: 415.
    """
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in {"", "identity"}:
        raise Problem(415, "Unsupported content coding", f"Send the body without Content-Encoding: {coding[:40]}.",
                      headers={"Accept-Encoding": "identity"})  # fmt: skip


def declared_length(request: Request) -> int:
    """Return the length the client announced, 0 where it announced none."""
    text = request.headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() else 0


async def read(request: Request, *, most: int, limit: str) -> bytes:
    """Read the whole body.

    Raises:
        Problem: 413, naming ``limit``, when more than ``most`` bytes are announced or sent; 400 when the connection
            ends before the body does.
    """
    announced = declared_length(request)
    if announced > most * _PATIENCE:
        raise too_large(most, limit)
    parts, total = [], 0
    stream = request.stream()
    try:
        async for part in stream:
            total += len(part)
            if max(total, announced) > most:
                await _let_finish(stream, most * _PATIENCE - total)
                raise too_large(most, limit)
            parts.append(part)
    except ClientDisconnect:
        raise Problem(400, "The body was cut off", "The connection ended before the body did.") from None
    return b"".join(parts)


async def _let_finish(stream: AsyncIterator[bytes], most: int) -> None:
    """Read on and throw away, for a moment, since many clients read the answer only when they have sent everything."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE_SECONDS):
            async for part in stream:
                most -= len(part)
                if most < 0:
                    return


def too_large(most: int, limit: str) -> Problem:
    """Return the answer to a body over a limit."""
    cure = " Send fewer events at a time, or upload a file to /api/uploads." if limit == "max_body_bytes" else ""
    return Problem(413, "Too large", f"The body is larger than the {most:,} bytes of {limit}.{cure}",
                   limit=limit, maximum=most, headers={"Connection": "close"})  # fmt: skip
