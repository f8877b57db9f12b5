"""Posts become chunks: small ones share one, large ones have several of their own."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from pipeline.chunk import RejectedRecord, join
from pipeline.ids import BatchId, new_uuid, nth_chunk
from pipeline.journal import KeptReceipt, Lane, NewChunk


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large a chunk grows, and how much may wait for the journal, in events and bytes."""

    chunk_events: int
    chunk_bytes: int
    pending_bytes: int


@dataclass(frozen=True, slots=True)
class Keyed:
    """The name under which a request's receipt is kept, and how it is written."""

    name: str
    receipt: Callable[["Placed"], bytes]


@dataclass(slots=True)
class Post:
    """What one request wants accepted: its events as ``pipeline.chunk.encode_event`` writes them, and what was refused.

    Refused records travel with the events, and count like them: ``refused`` and ``refused_bytes``. A post that is
    ``keyed`` shares no chunk, so that it can be left out.
    """

    lane: Lane
    events: list[bytes]
    refuse: Callable[[str], list[RejectedRecord]]
    refused: int = 0
    refused_bytes: int = 0
    keyed: Keyed | None = None
    size: int = field(init=False)
    done: asyncio.Future["Placed"] = field(init=False)
    deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self.size = sum(map(len, self.events)) + self.refused_bytes


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a post's events travel: the batch's id, and how many are in each of its chunks."""

    batch_id: BatchId
    counts: Sequence[int]

    def event_ids(self) -> Iterator[str]:
        """Yield each event's id, in order."""
        first = self.batch_id.first
        for chunk, count in zip(self.batch_id.chunk_ids(), self.counts, strict=True):
            name = chunk.hex
            for position in range(first, first + count):
                yield f"{name}.{position}"


@dataclass(slots=True)
class _Growing:
    chunk_id: UUID
    lane: Lane
    events: list[bytes] = field(default_factory=list)
    rejections: list[RejectedRecord] = field(default_factory=list)
    size: int = 0
    receipt: str = ""

    def written(self) -> NewChunk:
        body = join(self.events, self.rejections)
        return NewChunk(self.chunk_id.hex, self.lane, len(self.events), body, receipt=self.receipt)


@dataclass(frozen=True, slots=True)
class Packed:
    """The chunks of one flush, where each post went, and the receipts of those that are keyed."""

    chunks: list[_Growing]
    places: list[Placed]
    receipts: list[KeptReceipt]


def pack(posts: Sequence[Post], sizes: Sizes) -> Packed:
    """Lay posts into chunks: small ones share a chunk, one too large for a chunk has several of its own."""
    chunks: list[_Growing] = []
    places: list[Placed] = []
    shared: dict[Lane, _Growing] = {}
    for post in posts:
        runs = list(_runs(post, sizes))
        alone = len(runs) > 1 or post.keyed is not None
        places.append(_own(post, runs, chunks) if alone else _share(post, shared, chunks, sizes))
    keyed = ((post.keyed, placed) for post, placed in zip(posts, places, strict=True) if post.keyed is not None)
    return Packed(chunks, places, [KeptReceipt(each.name, each.receipt(placed)) for each, placed in keyed])


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
    batch_id = BatchId(current.chunk_id, len(current.events), len(post.events))
    current.events += post.events
    if post.refused:
        current.rejections += post.refuse(str(batch_id))
    current.size += post.size
    return Placed(batch_id, (len(post.events),))


def _own(post: Post, runs: Sequence[tuple[int, int]], chunks: list[_Growing]) -> Placed:
    first = new_uuid()
    batch_id = BatchId(first, 0, len(post.events), len(runs))
    made = [_Growing(nth_chunk(first, index), post.lane, post.events[a:b]) for index, (a, b) in enumerate(runs)]
    if post.keyed is not None:
        for chunk in made:
            chunk.receipt = post.keyed.name
    made[0].rejections += post.refuse(str(batch_id))
    chunks += made
    return Placed(batch_id, [len(chunk.events) for chunk in made])


def _runs(post: Post, sizes: Sizes) -> list[tuple[int, int]]:
    if len(post.events) <= sizes.chunk_events and post.size <= sizes.chunk_bytes:
        return [(0, len(post.events))]
    runs, start, size = [], 0, 0
    for index, event in enumerate(post.events):
        if index > start and (index - start >= sizes.chunk_events or size + len(event) > sizes.chunk_bytes):
            runs.append((start, index))
            start, size = index, 0
        size += len(event)
    runs.append((start, len(post.events)))
    return runs
