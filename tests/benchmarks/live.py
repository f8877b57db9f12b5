"""Live events at a steady pace, timed by the client that posts them: until the answer, and until the verdict stands.

The pace does not wait for answers, so that a slow one delays no sample after it. A verdict counts from the moment at
which another connection to PostgreSQL can read it; a share of them is also asked for over HTTP.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event, Thread

import psycopg2

from tests.benchmarks.load import anew, events, request

_LOOK_SECONDS = 0.003
_ASK_SECONDS = 0.005
_ASKED_EVERY = 20
_KEPT_SECONDS = 2.0
_PATIENCE = 120.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True)
class Lives:
    """What became of live events, in seconds from the first byte sent.

    Attributes:
        posts: until the whole answer was there.
        verdicts: until the verdict could be read in PostgreSQL.
        asked: until ``GET /api/verdicts/…`` gave it, of a share of them.
        refused: statuses other than 202.
    """

    posts: list[float] = field(default_factory=list)
    verdicts: list[float] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)

    def __add__(self, other: "Lives") -> "Lives":
        """Return the samples of both."""
        return Lives(
            self.posts + other.posts,
            self.verdicts + other.verdicts,
            self.asked + other.asked,
            self.refused + other.refused,
        )


async def live(port: int, database_url: str, *, seed: int, every: float, until: Callable[[int], bool]) -> Lives:
    """Post an event each ``every`` seconds until ``until``, given how many were posted, says so; wait for verdicts."""
    prepared = [request(port, "/api/events", json.dumps(event).encode()) for event in events(500, seed=seed)]
    found, posting, connections = Lives(), set[asyncio.Task[None]](), _Connections(port)
    with_verdicts = _Verdicts(database_url, found.verdicts)

    async def post(number: int) -> None:
        connection = await connections.take()
        begun = time.perf_counter()
        status, body = await exchange(*connection, anew(prepared[number % len(prepared)]))
        found.posts.append(time.perf_counter() - begun)
        connections.give_back(connection)
        if status != 202:
            found.refused.append(status)
            return
        (event_id,) = json.loads(body)["event_ids"]
        with_verdicts.await_chunk(event_id.partition(".")[0], begun)
        if number % _ASKED_EVERY == 0:
            found.asked.append(await _ask(port, event_id) - begun)

    with_verdicts.start()
    number, due = 0, time.perf_counter()
    while not until(number):
        posting = {task for task in posting if not task.done() or task.exception()}
        posting.add(asyncio.create_task(post(number)))
        number += 1
        due = max(due + every, time.perf_counter() - every)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    await asyncio.gather(*posting)
    await asyncio.to_thread(with_verdicts.finish)
    connections.close()
    return found


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, prepared: bytes) -> tuple[int, bytes]:
    """Send a request, and return the status and the body of its answer."""
    head, body = await exchange_whole(reader, writer, prepared)
    return int(head[9:12]), body


async def exchange_whole(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, prepared: bytes
) -> tuple[bytes, bytes]:
    """Send a request, and return the head and the body of its answer."""
    writer.write(prepared)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    return head, await reader.readexactly(length)


async def _ask(port: int, event_id: str) -> float:
    """Return the time at which the verdict was there."""
    wanted = f"GET /api/verdicts/{event_id} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    until = time.perf_counter() + _PATIENCE
    while (await exchange(reader, writer, wanted))[0] != 200:
        assert time.perf_counter() < until, f"no verdict of {event_id}"
        await asyncio.sleep(_ASK_SECONDS)
    writer.close()
    return time.perf_counter()


class _Connections:
    """Kept-alive connections that carry nothing now, each with the time since which it does not."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[float, Connection]] = []

    async def take(self) -> Connection:
        while self._idle:
            since, connection = self._idle.pop()
            if time.monotonic() - since < _KEPT_SECONDS:
                return connection
            connection[1].close()  # the server is about to do so
        return await asyncio.open_connection("127.0.0.1", self._port)

    def give_back(self, connection: Connection) -> None:
        self._idle.append((time.monotonic(), connection))

    def close(self) -> None:
        for _, (_, writer) in self._idle:
            writer.close()


class _Verdicts:
    """A thread that looks which chunks are settled, as any reader of the database sees them."""

    def __init__(self, database_url: str, seconds: list[float]) -> None:
        self._url, self._seconds = database_url, seconds
        self._waiting: dict[str, list[float]] = {}
        self._over = Event()
        self._thread = Thread(target=self._look, name="verdicts", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def await_chunk(self, chunk_id: str, begun: float) -> None:
        self._waiting.setdefault(chunk_id, []).append(begun)

    def finish(self) -> None:
        until = time.monotonic() + _PATIENCE
        while self._waiting and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
        self._over.set()
        self._thread.join()
        assert not self._waiting, f"{len(self._waiting)} live events were never judged"

    def _look(self) -> None:
        connection = psycopg2.connect(self._url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            while not self._over.wait(_LOOK_SECONDS):
                if asked := list(self._waiting):
                    cursor.execute("SELECT chunk_id FROM chunks WHERE chunk_id = ANY(%s)", (asked,))
                    self._settled([chunk_id for (chunk_id,) in cursor.fetchall()])
        connection.close()

    def _settled(self, chunk_ids: Sequence[str]) -> None:
        now = time.perf_counter()
        for chunk_id in chunk_ids:
            self._seconds += [now - begun for begun in self._waiting.pop(chunk_id, ())]
