"""What the script ``accept`` is given: chunks, and the receipts of requests that may be sent again."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Lane(StrEnum):
    """The way a chunk travels; each has its own queue and its own workers."""

    REALTIME = "realtime"
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class NewChunk:
    """A chunk to be journaled: its id, its lane, how many events it holds, and its encoded bytes.

    ``receipt`` names the kept receipt of the request that it belongs to, where that bore an idempotency key.
    """

    chunk_id: str
    lane: Lane
    events: int
    body: bytes
    upload_id: str = ""
    receipt: str = ""


@dataclass(frozen=True, slots=True)
class KeptReceipt:
    """A receipt that is kept under a name, so that the same request is accepted once."""

    name: str
    value: bytes


def accept_arguments(
    acceptor: str,
    flush: int,
    chunks: Sequence[NewChunk],
    bell: str,
    receipts: Sequence[KeptReceipt] = (),
    most: int = 0,
) -> list[str | int | bytes]:
    """Return what the script is given, by whoever runs it; ``most`` are the bytes of receipts to keep."""
    arguments: list[str | int | bytes] = [acceptor, flush, bell, most, len(receipts)]
    for kept in receipts:
        arguments += [kept.name, kept.value]
    for chunk in chunks:
        arguments += [chunk.chunk_id, chunk.lane, chunk.events, chunk.upload_id, chunk.body, chunk.receipt]
    return arguments
