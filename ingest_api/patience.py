"""How long a request's next bytes are waited for: a client that trickles, or stops, is told so and ended."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.types import Message

from pipeline.http import Problem

_TICK_SECONDS = 0.25
# A body has the setting's seconds, and one more for each of so many bytes that came.
_BYTES_A_SECOND = 10_000


class Patience:
    """Waits for messages, all of one event loop, with one timer for all of them."""

    def __init__(self, seconds: float) -> None:
        """Wait ``seconds`` for the next bytes of a body."""
        self._seconds = seconds
        self._waiting: dict[asyncio.Task[None], float] = {}
        self._expired: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def pieces(self, request: Request) -> AsyncIterator[bytes]:
        """Yield a request's body as it comes.

        Raises:
            Problem: 408, when it came too slowly; 400, when the connection ended before the body did.
        """
        loop, total, more = asyncio.get_running_loop(), 0, True
        began = loop.time()
        while more:
            now = loop.time()
            message = await self._next(request, min(now, began + total / _BYTES_A_SECOND) + self._seconds)
            if message["type"] == "http.disconnect":
                raise Problem(400, "The body was cut off", "The connection ended before the body did.")
            piece = message.get("body", b"")
            total += len(piece)
            more = message.get("more_body", False)
            yield piece

    async def _next(self, request: Request, until: float) -> Message:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - requests are served by tasks
        self._waiting[task] = until
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._look)
        try:
            return await request.receive()
        except asyncio.CancelledError:
            if task not in self._expired:
                raise
            task.uncancel()
            raise Problem(
                408, "The body came too slowly",
                f"It stopped for {self._seconds:g} seconds, or came at less than {_BYTES_A_SECOND:,} bytes a second. "
                "Nothing of it was taken; send it again.",
                limit="body_seconds", maximum=self._seconds, headers={"Connection": "close"},
            ) from None  # fmt: skip
        finally:
            del self._waiting[task]
            self._expired.discard(task)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for task in [task for task, until in self._waiting.items() if until < now]:
            if task not in self._expired:
                self._expired.add(task)
                task.cancel()
        self._timer = loop.call_later(_TICK_SECONDS, self._look) if self._waiting else None
