"""Is it ours now? Group commit: what arrives while one flush is under way travels together in the next.

Idle latency stays that of one flush, and throughput grows with load. One thread flushes and one rings, so a request
never waits for a doorbell.
"""

import asyncio
import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from pipeline.chunk import AcceptedEvent, Chunk, RejectedRecord, encode
from pipeline.errors import JournalBusy, JournalUnavailable, PipelineError, QueueUnavailable
from pipeline.ids import BatchId, EventId, new_uuid, nth_chunk
from pipeline.journal import Journal, Lane, NewChunk

_MOST_BYTES_A_FLUSH = 8_000_000
_ATTEMPTS = 2

Ring = Callable[[Lane, Sequence[str], int], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large a chunk grows, and how much may wait for the journal, in events and bytes."""

    chunk_events: int
    chunk_bytes: int
    pending_bytes: int


@dataclass(slots=True)
class Post:
    """What one request wants accepted: its events, about how many bytes each takes, and its refused records.

    Refused records travel with the events, and count like them: ``refused`` and ``refused_bytes``.
    """

    lane: Lane
    events: list[AcceptedEvent]
    sizes: list[int]
    refuse: Callable[[str], list[RejectedRecord]]
    refused: int = 0
    refused_bytes: int = 0
    done: asyncio.Future["Placed"] = field(init=False)
    withdrawn: bool = False

    @property
    def size(self) -> int:
        """Bytes of everything that travels."""
        return sum(self.sizes) + self.refused_bytes


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a post's events travel: the batch's id, and each event's own, in order."""

    batch_id: BatchId
    event_ids: list[EventId]


class Acceptor:
    """Journals posts, many at a time. Use it from one event loop."""

    def __init__(
        self, journal: Journal, ring: Ring, sizes: Sizes, *, wait_seconds: float, acceptor: str | None = None
    ) -> None:
        """Journal into ``journal``, ring with ``ring``, and let no post wait longer than ``wait_seconds``."""
        self.acceptor = acceptor or f"api-{secrets.token_hex(6)}"
        self._journal, self._ring, self._sizes, self._wait = journal, ring, sizes, wait_seconds
        self._flush = 0
        self._pending: deque[Post] = deque()
        self._pending_bytes = 0
        self._wake = threading.Condition()
        self._closing = False
        self._acknowledged: dict[int, int] = {}
        self._bells: queue.SimpleQueue[tuple[Lane, list[str], int] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._flush_for_ever, name="flush", daemon=True),
            threading.Thread(target=self._ring_for_ever, name="ring", daemon=True),
        ]

    def start(self) -> None:
        """Begin to flush."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Flush what waits, and end."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        for thread in self._threads:
            thread.join(timeout=5)

    async def accept(self, post: Post) -> Placed:
        """Make a post ours.

        Raises:
            JournalBusy: nothing was taken, since too much waits already.
            JournalFull: nothing was taken, since Redis has no memory left for it.
            JournalUnavailable: the journal did not confirm in time; the client must keep the events.
        """
        post.done = asyncio.get_running_loop().create_future()
        with self._wake:
            if self._pending and self._pending_bytes + post.size > self._sizes.pending_bytes:
                raise JournalBusy
            self._pending_bytes += post.size
            self._pending.append(post)
            self._wake.notify()
        try:
            return await asyncio.wait_for(post.done, self._wait)
        except TimeoutError:
            post.withdrawn = True
            message = f"Redis did not confirm within {self._wait} s"
            raise JournalUnavailable(message) from None

    def take_acknowledged(self) -> dict[int, int]:
        """Return, for each second of the accept stamp, how many events were acknowledged in all; for the witness."""
        with self._wake:
            return dict(self._acknowledged)

    def forget_acknowledged(self, reported: dict[int, int]) -> None:
        """Drop the seconds that the witness has, unless more was acknowledged in them since."""
        with self._wake:
            newest = max(self._acknowledged, default=0)
            for second, count in reported.items():
                if second < newest and self._acknowledged.get(second) == count:
                    del self._acknowledged[second]

    def _flush_for_ever(self) -> None:
        while posts := self._next_posts():
            try:
                self._flush_once(posts)
            except Exception as error:  # noqa: BLE001 - whatever went wrong, each waiting client must hear of it
                structlog.get_logger().error("flush_failed", exc_info=error)
                self._refuse_all(posts, JournalUnavailable(repr(error)))
        self._bells.put(None)

    def _next_posts(self) -> list[Post]:
        with self._wake:
            while not self._pending and not self._closing:
                self._wake.wait()
            posts: list[Post] = []
            total = 0
            while self._pending and (not posts or total + self._pending[0].size <= _MOST_BYTES_A_FLUSH):
                post = self._pending.popleft()
                total += post.size
                posts.append(post)
            self._pending_bytes -= total
            return posts

    def _flush_once(self, posts: Sequence[Post]) -> None:
        posts = [post for post in posts if not post.withdrawn]
        if not posts:
            return
        packed = _pack(posts, self._sizes)
        self._flush += 1
        try:
            stamp = self._journaled([chunk.written() for chunk in packed.chunks])
        except PipelineError as error:
            self._refuse_all(posts, error)
            return
        self._answer(posts, packed, stamp)
        for lane in Lane:
            if ids := [chunk.chunk_id.hex for chunk in packed.chunks if chunk.lane == lane]:
                self._bells.put((lane, ids, stamp))

    def _journaled(self, chunks: Sequence[NewChunk]) -> int:
        # A script whose reply was lost may be sent again: the flush number makes the second one do nothing.
        until = time.monotonic() + self._wait
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                stamp = self._journal.accept(self.acceptor, self._flush, chunks)
            except JournalUnavailable:
                if attempt == _ATTEMPTS or time.monotonic() > until:
                    raise
            else:
                if stamp == 0:
                    raise JournalUnavailable
                return stamp
        raise JournalUnavailable

    def _answer(self, posts: Sequence[Post], packed: "_Packed", stamp: int) -> None:
        # The count rises before the answer goes out: a crash between them leaves nothing acknowledged but uncounted.
        answered = [(post, placed) for post, placed in zip(posts, packed.places, strict=True) if not post.withdrawn]
        second, count = stamp // 1_000_000, sum(len(post.events) for post, _ in answered)
        with self._wake:
            self._acknowledged[second] = self._acknowledged.get(second, 0) + count
        if answered:
            answered[0][0].done.get_loop().call_soon_threadsafe(_resolve, answered)

    def _refuse_all(self, posts: Sequence[Post], error: Exception) -> None:
        outcomes = [(post, error) for post in posts]
        posts[0].done.get_loop().call_soon_threadsafe(_resolve, outcomes)

    def _ring_for_ever(self) -> None:
        while (bell := self._bells.get()) is not None:
            try:
                self._ring(*bell)
            except QueueUnavailable as error:
                structlog.get_logger().warning("doorbell_deferred", chunks=len(bell[1]), error=str(error))
            except Exception as error:  # noqa: BLE001 - a thread that ends here would leave every chunk to the sweep
                structlog.get_logger().error("doorbell_failed", chunks=len(bell[1]), error=type(error).__name__)


def _resolve(outcomes: Sequence[tuple[Post, "Placed | Exception"]]) -> None:
    for post, outcome in outcomes:
        if post.done.done():
            continue
        if isinstance(outcome, Placed):
            post.done.set_result(outcome)
        else:
            post.done.set_exception(outcome)


@dataclass(slots=True)
class _Growing:
    chunk_id: UUID
    lane: Lane
    events: list[AcceptedEvent] = field(default_factory=list)
    rejections: list[RejectedRecord] = field(default_factory=list)
    size: int = 0

    def written(self) -> NewChunk:
        body = encode(Chunk(self.events, self.rejections))
        return NewChunk(self.chunk_id.hex, self.lane, len(self.events), body)


@dataclass(frozen=True, slots=True)
class _Packed:
    chunks: list[_Growing]
    places: list[Placed]


def _pack(posts: Sequence[Post], sizes: Sizes) -> _Packed:
    """Lay posts into chunks: small ones share a chunk, one too large for a chunk has several of its own."""
    chunks: list[_Growing] = []
    places: list[Placed] = []
    shared: dict[Lane, _Growing] = {}
    for post in posts:
        runs = list(_runs(post, sizes))
        places.append(_share(post, shared, chunks, sizes) if len(runs) == 1 else _own(post, runs, chunks))
    return _Packed(chunks, places)


def _share(post: Post, shared: dict[Lane, _Growing], chunks: list[_Growing], sizes: Sizes) -> Placed:
    current = shared.get(post.lane)
    records = len(post.events) + post.refused
    if (
        current is None
        or len(current.events) + len(current.rejections) + records > sizes.chunk_events
        or current.size + post.size > sizes.chunk_bytes
    ):
        current = shared[post.lane] = _Growing(new_uuid(), post.lane)
        chunks.append(current)
    first = len(current.events)
    batch_id = BatchId(current.chunk_id, first, len(post.events))
    current.events += post.events
    current.rejections += post.refuse(str(batch_id))
    current.size += post.size
    return Placed(batch_id, [EventId(current.chunk_id, first + index) for index in range(len(post.events))])


def _own(post: Post, runs: Sequence[tuple[int, int]], chunks: list[_Growing]) -> Placed:
    first = new_uuid()
    batch_id = BatchId(first, 0, len(post.events), len(runs))
    made = [_Growing(nth_chunk(first, index), post.lane, post.events[a:b]) for index, (a, b) in enumerate(runs)]
    made[0].rejections += post.refuse(str(batch_id))
    chunks += made
    ids = [EventId(chunk.chunk_id, position) for chunk in made for position in range(len(chunk.events))]
    return Placed(batch_id, ids)


def _runs(post: Post, sizes: Sizes) -> list[tuple[int, int]]:
    runs, start, size = [], 0, 0
    for index, length in enumerate(post.sizes):
        if index > start and (index - start >= sizes.chunk_events or size + length > sizes.chunk_bytes):
            runs.append((start, index))
            start, size = index, 0
        size += length
    runs.append((start, len(post.sizes)))
    return runs
