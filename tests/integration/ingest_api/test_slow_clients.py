"""Clients that are slow, silent or half gone: each is told so and ended, or gets its answer, and harms nobody."""

import http.client
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.http import protocol
from tests.integration.ingest_api.events import JSON, raw
from tests.integration.ingest_api.listening import Answer, Listening

Journaled = Callable[[], dict[str, dict[str, Any]]]
Open = Callable[..., Listening]
HEAD = b"POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.json"\r\n\r\n'


def _answer(connection: socket.socket) -> Answer:
    found = http.client.HTTPResponse(connection)
    found.begin()
    return Answer(found.status, {name.lower(): value for name, value in found.getheaders()}, found.read())


@pytest.mark.parametrize("path", ["events", "uploads"])
def test_a_body_that_stops_is_ended(listening: Open, journaled: Journaled, path: str) -> None:
    """
    After the seconds of the setting without a byte, the answer is 408, the connection is closed and nothing was taken.
    """
    server = listening(body_seconds=0.5)
    kind = b"application/json" if path == "events" else b"multipart/form-data; boundary=x"
    head = HEAD.replace(b"events", path.encode()).replace(b"application/json", kind)
    with server.connect() as connection:
        connection.sendall(head + b"Content-Length: 5000\r\n\r\n" + (b"[" if path == "events" else FORM) + raw())
        answer = _answer(connection)

        assert (answer.status, answer.json()["limit"]) == (408, "body_seconds")
        assert answer.headers["content-type"] == "application/problem+json"
        assert connection.recv(1) == b""
    assert server.send("POST", "/api/events", raw(), JSON).status == 202
    assert len(journaled()) == 1


def test_a_body_that_trickles_is_ended(listening: Open, journaled: Journaled) -> None:
    """
    A byte now and then holds a connection no longer than silence does, but for what the bytes are worth.
    """
    server = listening(body_seconds=0.5)
    began = time.monotonic()
    with server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 5000\r\n\r\n")
        connection.settimeout(0.1)
        answer = None
        while answer is None and time.monotonic() < began + 10:
            connection.sendall(b" ")
            try:
                connection.recv(1, socket.MSG_PEEK)
            except TimeoutError:
                continue
            connection.settimeout(10)
            answer = _answer(connection)

    assert answer is not None
    assert answer.status == 408
    assert journaled() == {}


def test_many_silent_clients_hold_up_nobody(listening: Open) -> None:
    """
    Hundreds of bodies that never come are waited for at once, and others are served meanwhile.
    """
    server = listening(body_seconds=2)
    connections = [server.connect() for _ in range(300)]
    for connection in connections:
        connection.sendall(HEAD + b"Content-Length: 5000\r\n\r\n")
    assert server.send("POST", "/api/events", raw(), JSON).status == 202
    answers = [_answer(connection).status for connection in connections]
    for connection in connections:
        connection.close()

    assert answers == [408] * 300


def test_a_head_that_never_ends_is_ended(listening: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A connection on which no request becomes complete does not stay; one that sent nothing is closed without a word.

    A client that keeps connections in stock would take the word for the answer to what it is just sending.
    """
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(protocol, "_LOOK_SECONDS", 0.1)
    server = listening()
    with server.connect() as silent, server.connect() as slow, server.connect() as second:
        slow.sendall(HEAD)
        second.sendall(b"GET /api/limits HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert _answer(second).status == 200
        second.sendall(HEAD)

        assert [_answer(connection).status for connection in (slow, second)] == [408] * 2
        assert silent.recv(1) == b""


def test_a_client_that_closes_its_half_gets_its_answer(listening: Open, journaled: Journaled) -> None:
    """
    Whoever shuts the sending half down behind a whole request reads the answer; behind half a request nothing is taken.
    """
    server = listening()
    body = raw()
    head = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode()
    with server.connect() as whole, server.connect() as half:
        half.sendall(head + body[:-1])
        half.shutdown(socket.SHUT_WR)
        whole.sendall(head + body)
        whole.shutdown(socket.SHUT_WR)

        assert _answer(whole).status == 202
        assert whole.recv(1) == b""
        assert half.recv(1) == b""
    assert len(journaled()) == 1


@pytest.mark.parametrize("left", [-1, -400])
def test_half_a_request_behind_whole_ones_takes_no_answer_from_them(
    listening: Open, journaled: Journaled, left: int
) -> None:
    """
    Whoever ends in the midst of a request, in its body or its head, still hears of those before it.
    """
    server = listening()
    body = raw()
    request = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    with server.connect() as connection:
        connection.sendall(request * 2 + request[:left])
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while data := connection.recv(65536):
            found += data

    assert found.count(b"HTTP/1.1 202 ") == 2
    assert len(journaled()) == 2
