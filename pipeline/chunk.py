"""The chunk: what travels from accept to detect, and how it is written in the journal."""

from collections.abc import Sequence

import msgspec

from detection import Event

VERSION = 1
# How large a chunk grows, in events and bytes: what is judged well within the time that a task has.
MOST_EVENTS, MOST_BYTES = 500, 1_000_000


class UndecodableChunk(ValueError):
    """The journal's bytes are no chunk of a version that this code knows."""


class AcceptedEvent(msgspec.Struct, frozen=True, array_like=True):
    """An event, and when the body that brought it had been read (microseconds since 1970)."""

    received_at: int
    event: Event


class RejectedRecord(msgspec.Struct, frozen=True, array_like=True):
    """A record that was refused: where it stood, why, and its bytes, so that it can be corrected and sent again."""

    source: str  # the batch's or the upload's id
    index: int
    pointer: str
    code: str
    detail: str
    byte_offset: int | None = None
    record: bytes | None = None
    spooled: str | None = None  # the spool's file that holds a record too large to carry


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """Events accepted together, with the refused records of the same requests."""

    events: list[AcceptedEvent]
    rejections: list[RejectedRecord] = []
    upload_id: str | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[int, Chunk])
_event_decoder = msgspec.msgpack.Decoder(AcceptedEvent)


def encode(chunk: Chunk) -> bytes:
    """Write a chunk as the journal keeps it."""
    return _encoder.encode((VERSION, chunk))


def join(events: Sequence[bytes], rejections: Sequence[RejectedRecord]) -> bytes:
    """Write a chunk of events that ``encode_event`` has written already: the bytes that ``encode`` would give."""
    return _encoder.encode((VERSION, ([msgspec.Raw(event) for event in events], rejections, None)))


def decode(body: bytes) -> Chunk:
    """Read a chunk from the journal.

    Raises:
        UndecodableChunk: the bytes are damaged, or of a later version.
    """
    try:
        version, chunk = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableChunk(str(error)) from error
    if version != VERSION:
        message = f"the chunk has version {version}; this worker knows version {VERSION}"
        raise UndecodableChunk(message)
    return chunk


def encode_event(event: AcceptedEvent) -> bytes:
    """Write one event, as a chunk holds it and a dead letter keeps it."""
    return _encoder.encode(event)


def decode_event(body: bytes) -> AcceptedEvent:
    """Read the event of a dead letter."""
    return _event_decoder.decode(body)
