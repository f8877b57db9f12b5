"""A door behind a real socket: uvicorn, as the launcher starts it, in a thread."""

import http.client
import json
import socket
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import uvicorn
from fastapi import FastAPI

from pipeline.http.protocol import PatientProtocol


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


class Listening:
    """A server on a free port of loopback, for the length of a block."""

    def __init__(self, app: FastAPI) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self._server = _Server(uvicorn.Config(app, http=PatientProtocol, log_level="critical", access_log=False))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self.listener]})

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._server.is_up.wait(20)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        self.listener.close()

    def connect(self) -> socket.socket:
        """Open a connection, to speak HTTP by hand."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def send(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; a body that is no bytes travels in HTTP chunks, without a Content-Length."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            chunked = body is not None and not isinstance(body, bytes)
            connection.request(method, path, body=body, headers=dict(headers or {}), encode_chunked=chunked)
            found = connection.getresponse()
            return Answer(found.status, {name.lower(): value for name, value in found.getheaders()}, found.read())
        finally:
            connection.close()

    def exchange(self, request: bytes) -> Answer:
        """Send bytes as they are, and read the answer."""
        with self.connect() as connection:
            connection.sendall(request)
            found = http.client.HTTPResponse(connection)
            found.begin()
            return Answer(found.status, {name.lower(): value for name, value in found.getheaders()}, found.read())


class _Server(uvicorn.Server):
    """Tells when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell."""
        await super().startup(sockets)
        self.is_up.set()
