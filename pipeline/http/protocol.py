"""HTTP as uvicorn speaks it, with bounds on what a connection may cost: uvicorn knows none before a request is whole.

Bounded are a head, what stands beside the pieces of a body, the time until the next request, the requests that are sent
ahead, the time until an answer is read, and the number of connections. What is no HTTP is told so in JSON, behind the
answers that are owed. A client may close its sending half behind its request and still read the answer. An offer to
change the protocol is ignored, as RFC 9110 allows: Java's client makes one with its first request, and uvicorn would
lose that request's body.
"""

import asyncio
import secrets
from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit, setrlimit
from time import monotonic
from weakref import WeakSet

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from pipeline.http.headers import secure

MOST_HEAD_BYTES = 65_536
HEAD_SECONDS = 10.0
_UNREAD_SECONDS = 30.0
_MOST_AHEAD = 100
_MOST_DESCRIPTORS = 65_536
_LOOK_SECONDS = 0.5
_FRAMING = (b"content-length", b"transfer-encoding")
_watched: WeakSet[ServerState] = WeakSet()


class _BoundError(Exception):
    """A bound was met; it is raised through the parser, which stops there."""


class PatientProtocol(HttpToolsProtocol):
    """One connection. Name it to uvicorn as ``--http pipeline.http.protocol:PatientProtocol``.

    Its times are not the loop's: that clock stands still while many connections are taken, and would not tell which of
    them came first.
    """

    _owes: float | None = None  # since when the client has to send a head, or the rest of one
    _beside = 0  # bytes that came since the last piece of a body, or the last whole request
    _goes_on = False
    _has_all = False  # the client closed its sending half
    _unread, _unread_since = 0, 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._owes = monotonic()
        if len(self.connections) > (most := _most_connections() * 3 // 2):
            self._refuse(503, "Too many connections", f"At most {most:,} are kept at once. Try again in a moment.")
        if self.server_state not in _watched:
            _watched.add(self.server_state)
            self.loop.call_later(_LOOK_SECONDS, _look, self.loop, self.server_state)

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        self._beside += len(data)
        rest: bytes | memoryview = data
        while True:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as offer:
                rest = memoryview(rest)[offer.args[0] :]
                self._go_on()
                continue
            except httptools.HttpParserError as error:
                if isinstance(error.__context__, _BoundError):
                    break
                self._refuse(400, "Not HTTP", f"What was sent is no HTTP/1.1 request: {self._why(error)}")
                return
            if self._beside <= MOST_HEAD_BYTES:
                return
            break
        self._refuse(
            431, "The head is too large", f"The head of a request has at most {MOST_HEAD_BYTES:,} bytes.",
            limit="head_bytes", maximum=MOST_HEAD_BYTES,
        )  # fmt: skip

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of the head."""
        if not self._goes_on:
            super().on_message_begin()
            self._owes = monotonic()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; what stands behind the body is none."""
        if self._owes is not None:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Wait for the head no longer."""
        if not self._goes_on:
            too_large = self._beside > MOST_HEAD_BYTES and _size(self.url, self.headers) > MOST_HEAD_BYTES
            if too_large or len(self.pipeline) >= _MOST_AHEAD:
                raise _BoundError
            self._owes = None
            super().on_headers_complete()
        self._goes_on, self._beside = False, 0

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._beside = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Let the request end; where another protocol was offered its body is still to come."""
        if not self.parser.should_upgrade():
            self._beside = 0
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Serve the next request, or begin to wait for it; one clock for all connections replaces uvicorn's timers."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._has_all:
            self.transport.close()
        else:
            self.flow.resume_reading()
            self._owes = monotonic()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection for the answers to requests that are complete, and no longer."""
        if self._is_answering and self.cycle.more_body and self.pipeline:
            self.pipeline.popleft()  # the rest of it will not come, and answers to those before it are owed
            self._has_all = True
        else:
            self._has_all = self._is_answering and not self.cycle.more_body
        return self._has_all

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def idle_since(self) -> float | None:
        """Since when the client owes us a request; None while we owe it an answer."""
        return None if self._is_answering else self._owes

    def look(self, now: float) -> None:
        """End the connection if the client neither reads nor sends."""
        unread = self.transport.get_write_buffer_size()
        if unread != self._unread:
            self._unread, self._unread_since = unread, now
        if unread and now - self._unread_since > _UNREAD_SECONDS:
            self.transport.abort()
        elif (since := self.idle_since) is None or now - since < HEAD_SECONDS or self.transport.is_closing():
            return
        elif self._beside:
            detail = f"Its head was not complete after {HEAD_SECONDS:g} seconds."
            self._refuse(408, "The request came too slowly", detail)
        else:
            # Without a word: whoever sends just now on a connection kept in stock would take it for the answer.
            self.transport.close()

    def _should_upgrade(self) -> bool:
        return False

    def _go_on(self) -> None:
        """Make the parser read on behind an offer of another protocol: as the body that the head announced."""
        framing = b"".join(b"%b: %b\r\n" % header for header in self.headers if header[0] in _FRAMING)
        self._goes_on = True
        if not self.parser.should_keep_alive():
            # This one would take what follows the last request for nothing, and that request's body with it.
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            framing += b"Connection: close\r\n"
        self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % framing)

    def _why(self, error: httptools.HttpParserError) -> str:
        cause = error.__context__  # what one of the methods above raised
        if isinstance(cause, httptools.HttpParserInvalidURLError | UnicodeDecodeError):
            return "its target is no path of this server"
        if cause is not None:
            self.logger.error("A request could not be taken", exc_info=cause)
        return str(error)

    def _refuse(self, status: int, title: str, detail: str, **extra: object) -> None:
        cycle = self.cycle
        if self._is_answering and (self.pipeline or cycle.response_started or not cycle.more_body):
            cycle.keep_alive = False  # answers that are owed go first, and nothing follows them
            return
        request_id = secrets.token_hex(8)
        about = {"type": "about:blank", "title": title, "status": status, "detail": detail, "request_id": request_id}
        body = msgspec.json.encode(about | extra)
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        secure(headers, request_id)
        head = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
        self.transport.close()


def _look(loop: asyncio.AbstractEventLoop, state: ServerState) -> None:
    connections = [each for each in state.connections if isinstance(each, PatientProtocol)]
    now = monotonic()
    for connection in connections:
        connection.look(now)
    idle = [(since, each) for each in connections if (since := each.idle_since) is not None]
    # Whoever holds many connections pays for it, not who comes next: a new one sends its request at once.
    for _, each in sorted(idle, key=lambda found: found[0])[: max(0, len(connections) - _most_connections())]:
        each.transport.abort()
    if connections:
        loop.call_later(_LOOK_SECONDS, _look, loop, state)
    else:
        _watched.discard(state)


def raise_descriptors() -> None:
    """Let this process have as many descriptors as it may, within reason: many systems begin with 1,024."""
    soft, hard = (_MOST_DESCRIPTORS if limit == RLIM_INFINITY else limit for limit in getrlimit(RLIMIT_NOFILE))
    if soft < (most := min(hard, _MOST_DESCRIPTORS)):
        setrlimit(RLIMIT_NOFILE, (most, getrlimit(RLIMIT_NOFILE)[1]))


def _most_connections() -> int:
    """Return how many connections may be silent; half as many again are served, and each may have a file open."""
    descriptors = getrlimit(RLIMIT_NOFILE)[0]
    return 10_000 if descriptors == RLIM_INFINITY else min(10_000, descriptors // 4)


def _size(url: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    return len(url) + sum(len(name) + len(value) + len(": \r\n") for name, value in headers)
