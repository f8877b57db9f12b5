"""Ids: a chunk is a UUID, an event is its root chunk and its position there, a batch is a run of events.

All of them are derived, none is looked up: a receipt needs no index, and an id given twice means the same thing.
"""

import hashlib
import os
import re
import time
from dataclasses import dataclass
from uuid import UUID

_CHUNKS_PER_BATCH = 1 << 16
_EVENT = re.compile(r"(?P<chunk>[0-9a-f]{32})\.(?P<position>0|[1-9][0-9]{0,8})")
_BATCH = re.compile(
    r"(?P<chunk>[0-9a-f]{32})\.(?P<first>0|[1-9][0-9]{0,8})\.(?P<count>[1-9][0-9]{0,8})\.(?P<chunks>[1-9][0-9]{0,4})"
)
_CHUNK = re.compile(r"(?P<root>[0-9a-f]{32})(?P<suffix>\.(?:(?P<first>[0-9]{1,9})(?:~[0-9]{1,9}|-[0-9]{1,9})|canary))?")
_CANARY = ".canary"
_HEX = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class InvalidId(ValueError):
    """The id has not the form of one that this system gives out."""


def new_uuid() -> UUID:
    """Return a UUIDv7 whose low 16 bits are zero, so that a batch can number its chunks there."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(8))
    value = (milliseconds & (1 << 48) - 1) << 80 | 7 << 76 | (random >> 52) << 64 | 2 << 62
    return UUID(int=value | (random & (1 << 46) - 1) << 16)


def nth_chunk(first: UUID, index: int) -> UUID:
    """Return the id of chunk ``index`` of a batch that begins with chunk ``first``.

    Raises:
        ValueError: the batch would have more chunks than its first id can number.
    """
    if not 0 <= index < _CHUNKS_PER_BATCH:
        message = f"a batch has at most {_CHUNKS_PER_BATCH} chunks"
        raise ValueError(message)
    return UUID(int=first.int + index)


def upload_chunk(upload: UUID, offset: int) -> UUID:
    """Return the id of the chunk that starts at byte ``offset`` of an upload: the same for every splitter."""
    digest = hashlib.blake2b(upload.bytes + offset.to_bytes(8), digest_size=16).digest()
    when = upload.int >> 80 << 80
    return _version_8(when | int.from_bytes(digest) & (1 << 80) - 1)


def alert_id(event: "EventId") -> UUID:
    """Return the id of the alert about an event: the same on every retry."""
    digest = hashlib.blake2b(str(event).encode(), digest_size=16, person=b"sentinel-alert").digest()
    return _version_8(int.from_bytes(digest))


def _version_8(value: int) -> UUID:
    """Return the value as a UUID of version 8, the one whose content is its maker's own."""
    return UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | 8 << 76 | 2 << 62)


def parse_uuid(text: str) -> UUID:
    """Read an upload's or an alert's id.

    Raises:
        InvalidId: the text is not a UUID.
    """
    if not _HEX.fullmatch(text):
        raise InvalidId
    return UUID(text)


@dataclass(frozen=True, slots=True, order=True)
class EventId:
    """An event: the chunk it was accepted in, and its position there, for ever."""

    chunk: UUID
    position: int

    def __str__(self) -> str:
        return f"{self.chunk.hex}.{self.position}"

    @classmethod
    def parse(cls, text: str) -> "EventId":
        """Read an event id.

        Raises:
            InvalidId: the text is not one.
        """
        found = _EVENT.fullmatch(text)
        if found is None:
            raise InvalidId
        return cls(UUID(found["chunk"]), int(found["position"]))


@dataclass(frozen=True, slots=True)
class BatchId:
    """What one request posted: ``count`` events from ``first`` on in one chunk, or all of ``chunks`` chunks."""

    chunk: UUID
    first: int
    count: int
    chunks: int = 1

    def __str__(self) -> str:
        return f"{self.chunk.hex}.{self.first}.{self.count}.{self.chunks}"

    @classmethod
    def parse(cls, text: str) -> "BatchId":
        """Read a batch id.

        Raises:
            InvalidId: the text is not one.
        """
        found = _BATCH.fullmatch(text)
        # A batch's first chunk bears number 0 in its low bits, so that the last one's number still fits there.
        if found is None or int(found["chunks"]) > _CHUNKS_PER_BATCH - int(found["chunk"][-4:], 16):
            raise InvalidId
        return cls(UUID(found["chunk"]), int(found["first"]), int(found["count"]), int(found["chunks"]))

    def chunk_ids(self) -> list[UUID]:
        """Return the chunks in which the batch's events travel, in order."""
        return [self.chunk, *(nth_chunk(self.chunk, index) for index in range(1, self.chunks))]


@dataclass(frozen=True, slots=True)
class ChunkId:
    """A chunk's name: ``<root>``, one event run again ``<root>.<position>~<n>``, or a half ``<root>.<from>-<to>``.

    ``to`` is the position behind the half's last event. A canary is ``<root>.canary``: no client can have such a chunk,
    for clients do not name chunks. Events keep the ids they got in the root, whatever chunk carries them later.
    """

    root: UUID
    first: int = 0
    suffix: str = ""

    def __str__(self) -> str:
        return f"{self.root.hex}{self.suffix}"

    @property
    def is_rerun(self) -> bool:
        """Whether the chunk is a dead letter that was run again, and so weighs nothing in the ledger."""
        return "~" in self.suffix

    @property
    def is_canary(self) -> bool:
        """Whether the chunk is a canary, and so weighs nothing in the ledger and leaves no verdict."""
        return self.suffix == _CANARY

    def event(self, index: int) -> EventId:
        """Return the id of the event at ``index`` of this chunk."""
        return EventId(self.root, self.first + index)

    def family(self) -> dict[str, str]:
        """Return the ids ``of`` and ``next`` between which every other chunk that carries events of the root stands."""
        return {"of": f"{self.root.hex}.", "next": f"{self.root.hex}/"}

    def part(self, start: int, end: int) -> "ChunkId":
        """Return the chunk that carries the events from index ``start`` of this chunk up to the one before ``end``."""
        first, end = self.first + start, self.first + end
        return ChunkId(self.root, first, f".{first}-{end}")

    @classmethod
    def canary(cls) -> "ChunkId":
        """Return the id of a new canary."""
        return cls(new_uuid(), suffix=_CANARY)

    @classmethod
    def rerun(cls, event: EventId, number: int) -> "ChunkId":
        """Return the chunk in which a dead letter runs for the ``number``-th time again."""
        return cls(event.chunk, event.position, f".{event.position}~{number}")

    @classmethod
    def parse(cls, text: str) -> "ChunkId":
        """Read a chunk id.

        Raises:
            InvalidId: the text is not one.
        """
        found = _CHUNK.fullmatch(text)
        if found is None:
            raise InvalidId
        return cls(UUID(found["root"]), int(found["first"] or 0), found["suffix"] or "")
