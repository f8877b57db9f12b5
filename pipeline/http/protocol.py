"""HTTP as uvicorn speaks it, with two things mended: clients that close half their connection, and slow heads.

A client may close its sending half behind its request and still read the answer. And a connection on which no request
becomes complete must not stay for ever; what comes behind the head is the application's to wait for.
"""

import asyncio

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD_SECONDS = 10.0
_LOOK_SECONDS = 1.0
_PROBLEM = msgspec.json.encode(
    {
        "type": "about:blank",
        "title": "The request came too slowly",
        "status": 408,
        "detail": f"Its head was not complete after {_HEAD_SECONDS:g} seconds.",
    }
)
_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/problem+json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_PROBLEM), _PROBLEM)
)


class PatientProtocol(HttpToolsProtocol):
    """One connection. Name it to uvicorn as ``--http pipeline.http.protocol:PatientProtocol``."""

    _begun: float | None = None
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._begun = self.loop.time()
        self._timer = self.loop.call_later(_HEAD_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of the head."""
        super().on_message_begin()
        self._begun = self.loop.time()

    def on_headers_complete(self) -> None:
        """Wait no longer."""
        self._begun = None
        super().on_headers_complete()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection for the answer to a request that is complete, and no longer."""
        cycle = self.cycle
        if cycle is None or cycle.more_body or cycle.response_complete:
            return False
        cycle.keep_alive = False
        return True

    def _look(self) -> None:
        if self._begun is None or self._begun > self.loop.time() - _HEAD_SECONDS:
            self._timer = self.loop.call_later(_LOOK_SECONDS, self._look)
            return
        self.transport.write(_SLOW)
        self.transport.close()
