"""Reading a request's body within its limits, whatever its headers claim."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from email.message import Message
from enum import Enum
from functools import lru_cache

from starlette.requests import Request

from ingest_api.coding import too_large
from ingest_api.patience import Patience
from ingest_api.room import Place
from pipeline.http import Problem

LINE_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
# How much more than the limit is heard out, and for how long, before the answer.
_HEARD_OUT, _HEARD_OUT_SECONDS = 4, 1.0


class Kind(Enum):
    """How a body holds its events."""

    JSON = "one object, or an array of them"
    LINES = "one object a line"


_KINDS = {"application/json": Kind.JSON} | dict.fromkeys(LINE_TYPES, Kind.LINES)


def kind_of(request: Request) -> Kind:
    """Return how the body holds its events.

    Raises:
        Problem: 415, with what to send instead.
    """
    return _kind(request.headers.get("content-type", ""))


@lru_cache(maxsize=64)
def _kind(text: str) -> Kind:
    given = Message()
    given["content-type"] = text
    charset = given.get_content_charset("utf-8")
    kind = _KINDS.get(given.get_content_type()) if text else None
    if kind is None:
        detail = "Send events as 'Content-Type: application/json', or one a line as 'application/x-ndjson'."
        raise Problem(415, "Unsupported media type", detail)
    if charset not in {"utf-8", "utf8", "us-ascii"}:
        raise Problem(415, "Unsupported media type", f"JSON travels as UTF-8, not as {charset}.")
    return kind


def declared_length(request: Request) -> int:
    """Return the length the client announced, 0 where it announced none."""
    text = request.headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() else 0


async def read(request: Request, *, most: int, patience: Patience, place: Place) -> bytes:
    """Read the whole body, as it was sent.

    Raises:
        Problem: 413, naming ``max_body_bytes``, when more than ``most`` bytes are announced or sent; 408 when they come
            too slowly; 400 when the connection ends before the body does.
        JournalBusy: there is no room for it now.
    """
    announced = declared_length(request)
    if announced > most * _HEARD_OUT:
        raise too_large(most, "max_body_bytes")
    if announced <= most:
        place.grow(announced)
    parts, total = [], 0
    pieces = patience.pieces(request)
    async for part in pieces:
        total += len(part)
        if max(total, announced) > most:
            await _let_finish(pieces, most * _HEARD_OUT - total)
            raise too_large(most, "max_body_bytes")
        place.grow(max(0, total - place.size))
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _let_finish(pieces: AsyncIterator[bytes], most: int) -> None:
    """Read on and throw away, for a moment, since many clients read the answer only when they have sent everything."""
    with suppress(TimeoutError, Problem):
        async with asyncio.timeout(_HEARD_OUT_SECONDS):
            async for part in pieces:
                most -= len(part)
                if most < 0:
                    return
