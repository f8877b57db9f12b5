"""What a connection may cost, and bytes that are no request: each is bounded, and told so in JSON."""

import http.client
import logging
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from pipeline.http import protocol
from tests.integration.ingest_api.events import eventually, raw
from tests.integration.ingest_api.listening import Answer, Listening

Journaled = Callable[[], dict[str, dict[str, Any]]]
Open = Callable[..., Listening]
GET = b"GET /api/limits HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def _whole(body: bytes) -> bytes:
    return POST + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _answers(connection: socket.socket) -> list[Answer]:
    """Read until the server hangs up."""
    stream, found = connection.makefile("rb"), []
    while line := stream.readline():
        headers = {name.lower(): value for name, value in http.client.parse_headers(stream).items()}
        found.append(Answer(int(line.split()[1]), headers, stream.read(int(headers.get("content-length", 0)))))
    return found


@pytest.mark.parametrize(
    "request_",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /api/b\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        GET + b"X: a\0b\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + raw(),
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + raw(),
        CHUNKED + b"zz\r\n" + raw(),
    ],
)
def test_what_is_no_request_is_told_so_in_json(listening: Open, journaled: Journaled, request_: bytes) -> None:
    """
    The answer is a problem like any other, with an id, and nothing was taken.
    """
    with listening().connect() as connection:
        connection.sendall(request_)
        (answer,) = _answers(connection)

    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    assert answer.json()["detail"].startswith("What was sent is no HTTP/1.1 request: ")
    assert journaled() == {}


def test_an_answer_that_is_owed_stands_before_the_complaint_about_what_follows(
    listening: Open, journaled: Journaled
) -> None:
    """
    A client that sends too much behind its event hears that the event was taken, not that something is no HTTP.
    """
    with listening().connect() as connection:
        connection.sendall(_whole(raw()) * 2 + b"too much\r\n\r\n")
        answers = _answers(connection)

    assert [answer.status for answer in answers] == [202, 202]
    assert answers[-1].headers["connection"] == "close"
    assert sum(int(entry["events"]) for entry in journaled().values()) == 2


@pytest.mark.parametrize("endless", [GET + b"X: ", b"GET /", GET])
def test_a_head_that_does_not_end_is_not_collected(listening: Open, endless: bytes) -> None:
    """
    Whatever of it does not end, it is refused by the limit's name.
    """
    with listening().connect() as connection:
        connection.sendall(endless + (b"X-Y: z\r\n" * 10_000 if endless == GET else b"a" * 80_000))
        (answer,) = _answers(connection)

    assert (answer.status, answer.json()["limit"]) == (431, "head_bytes")


@pytest.mark.parametrize("endless", [b"0\r\nX: ", b"1;"])
def test_what_surrounds_a_body_is_not_collected(listening: Open, journaled: Journaled, endless: bytes) -> None:
    """
    A trailer, or a chunk's extension, that does not end is refused as a head is.
    """
    with listening().connect() as connection:
        connection.sendall(CHUNKED.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(endless + b"a" * 80_000)
        (answer,) = _answers(connection)

    assert (answer.status, answer.json()["limit"]) == (431, "head_bytes")
    assert journaled() == {}


def test_a_head_over_the_limit_is_refused_also_when_it_comes_at_once(listening: Open) -> None:
    """
    Whether a head is too large does not depend on how the network cut it.
    """
    server = listening()
    allowed, refused = (GET + b"X: %b\r\n\r\n" % (b"a" * size) for size in (65_000, 66_000))

    assert server.exchange(allowed).status == 200
    assert server.exchange(refused).status == 431


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("pieces", [1, 2])
def test_an_offer_of_another_protocol_costs_no_body(
    listening: Open, journaled: Journaled, framing: str, pieces: int
) -> None:
    """
    Java's client offers HTTP/2 with its first request; its event is taken, and the connection can be used again.
    """
    body = raw()
    offer = (
        POST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"
    )
    headed, sent = {
        "length": (offer + b"Content-Length: %d\r\n\r\n" % len(body), body),
        "chunks": (offer + b"Transfer-Encoding: chunked\r\n\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)),
    }[framing]
    with listening().connect() as connection:
        if pieces == 1:
            connection.sendall(headed + sent)
        else:
            connection.sendall(headed)
            connection.sendall(sent[:50])
            connection.sendall(sent[50:])
        connection.sendall(headed + sent + _whole(body) + GET + b"Connection: close\r\n\r\n")
        answers = _answers(connection)

    assert [answer.status for answer in answers] == [202, 202, 202, 200]
    assert sum(int(entry["events"]) for entry in journaled().values()) == 3


@pytest.mark.parametrize(
    ("version", "connection_"), [(b"1.1", b"Upgrade, close"), (b"1.0", b"Upgrade"), (b"1.0", b"Upgrade, keep-alive")]
)
def test_an_offer_of_another_protocol_may_stand_in_the_last_request(
    listening: Open, journaled: Journaled, version: bytes, connection_: bytes
) -> None:
    """
    Who wants the connection closed behind the answer gets that answer, too.
    """
    body = raw()
    offer = POST.replace(b"1.1", version) + b"Connection: %b\r\nUpgrade: h2c\r\n" % connection_
    with listening().connect() as connection:
        connection.sendall(offer + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        (answer,) = _answers(connection)

    assert (answer.status, answer.headers["connection"]) == (202, "close")
    assert sum(int(entry["events"]) for entry in journaled().values()) == 1


def test_a_target_that_is_no_path_is_named(listening: Open) -> None:
    """
    A client that takes the server for a proxy reads what was wrong.
    """
    answer = listening().exchange(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n")

    assert answer.json()["detail"].endswith("its target is no path of this server")


def test_a_fault_of_the_server_is_logged(
    listening: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """
    What went wrong while a request was taken is not only told to the client, as if it were the client's fault.
    """
    monkeypatch.setattr(protocol, "_size", None)
    server = listening()
    caplog.set_level("ERROR", logger="uvicorn.error")
    logging.getLogger("uvicorn.error").addHandler(caplog.handler)
    server.exchange(GET + b"X: %b\r\n\r\n" % (b"a" * 66_000))

    logging.getLogger("uvicorn.error").removeHandler(caplog.handler)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is TypeError


def test_a_trailer_is_no_header(listening: Open) -> None:
    """
    What stands behind the body cannot pretend to be what was checked before it.
    """
    body = raw()
    with listening().connect() as connection:
        connection.sendall(
            b"POST /api/events HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"%x\r\n%b\r\n0\r\nContent-Type: application/json\r\n\r\n" % (len(body), body)
        )
        (answer,) = _answers(connection)

    assert answer.status == 415


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (GET + b"\r\n", 200),
        (POST.replace(b"json", b"xml") + b"Content-Length: 100000\r\n\r\n[", 415),
    ],
)
def test_a_connection_that_goes_on_without_a_request_is_ended(
    listening: Open, monkeypatch: pytest.MonkeyPatch, sent: bytes, status: int
) -> None:
    """
    Empty lines, or the rest of a body that was refused, hold a connection no longer than silence does.
    """
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.6)
    monkeypatch.setattr(protocol, "_LOOK_SECONDS", 0.1)
    with listening().connect() as connection:
        connection.sendall(sent)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        connection.sendall(b"\r\n")
        connection.settimeout(10)

        assert answer.status == status
        while connection.recv(65536):
            pass


def test_a_client_that_reads_nothing_is_ended(listening: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Answers that nobody reads are not kept for ever.
    """
    monkeypatch.setattr(protocol, "_UNREAD_SECONDS", 0.3)
    monkeypatch.setattr(protocol, "_LOOK_SECONDS", 0.1)
    server = listening()
    server.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(0.2)
        connection.connect(("127.0.0.1", server.port))

        def is_ended() -> bool:
            try:
                connection.sendall((GET + b"\r\n") * 1000)
            except TimeoutError:
                return False
            except OSError:
                return True
            return False

        eventually(is_ended, seconds=30)


def test_requests_that_are_sent_ahead_are_bounded(listening: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Who does not wait for answers gets those to the first requests, and the last of them says that it is the last.
    """
    monkeypatch.setattr(protocol, "_MOST_AHEAD", 5)
    with listening().connect() as connection:
        connection.sendall((GET + b"\r\n") * 100)
        answers = _answers(connection)

    assert [answer.status for answer in answers] == [200] * 6
    assert [answer.headers.get("connection") for answer in answers] == [None] * 5 + ["close"]


def test_whoever_holds_many_connections_does_not_shut_out_others(
    listening: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Above the number that are kept, those go that were silent the longest; a new client is served.
    """
    monkeypatch.setattr(protocol, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(protocol, "_most_connections", lambda: 40)
    server = listening()
    with ExitStack() as stack:
        held = [stack.enter_context(server.connect()) for _ in range(50)]
        held[0].settimeout(10)
        with suppress(ConnectionResetError):
            assert held[0].recv(1) == b""
        held[-1].sendall(GET + b"Connection: close\r\n\r\n")

        assert [answer.status for answer in _answers(held[-1])] == [200]


def test_connections_that_all_send_leave_room_for_an_answer(listening: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where none is silent the newest is told so, those before it go on, and one that ends makes room.
    """
    monkeypatch.setattr(protocol, "_most_connections", lambda: 4)
    server = listening()
    body = raw()
    with ExitStack() as stack:
        held = [stack.enter_context(server.connect()) for _ in range(6)]
        for connection in held:
            connection.sendall(
                POST + b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
            )
            assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        with server.connect() as newest:
            (refused,) = _answers(newest)
        held[0].sendall(body)
        (taken,) = _answers(held[0])

        assert (refused.status, refused.json()["title"]) == (503, "Too many connections")
        assert taken.status == 202
        eventually(lambda: server.exchange(GET + b"Connection: close\r\n\r\n").status == 200)


def test_the_limit_of_descriptors_is_raised_as_far_as_it_may_be() -> None:
    """
    A process that begins with few gets as many as its hard limit allows, and keeps that limit.
    """
    script = (
        "from resource import *; from pipeline.http.protocol import raise_descriptors; "
        "setrlimit(RLIMIT_NOFILE, (256, 512)); raise_descriptors(); print(*getrlimit(RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["512", "512"]
