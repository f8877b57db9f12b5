"""Running a dead letter again, through the same line as every other event."""

from celery import Celery
from sqlalchemy import Engine
from structlog import get_logger

from pipeline.chunk import Chunk, decode_event, encode
from pipeline.errors import QueueUnavailable
from pipeline.ids import ChunkId, EventId
from pipeline.journal import Journal, Lane, NewChunk
from pipeline.queue import ring
from pipeline.storage import dead_letters, transaction


def rerun(event: EventId, *, journal: Journal, engine: Engine, celery: Celery) -> str | None:
    """Journal the dead letter again. Doing so twice runs it once.

    Returns:
        The id of the chunk in which it runs, or None where the event is no dead letter that can be read.

    Raises:
        JournalUnavailable, StorageUnavailable: one of them is away.
    """
    with transaction(engine) as connection:
        letter = dead_letters.find(connection, event)
    if letter is None or letter.event_id != str(event):
        return None
    chunk_id = str(ChunkId.rerun(event, letter.reruns + 1))
    body = encode(Chunk([decode_event(letter.body)], upload_id=letter.upload_id))
    chunk = NewChunk(chunk_id, Lane(letter.lane), 1, body, letter.upload_id or "")
    if stamp := journal.rerun(chunk, "rerun"):
        try:
            ring(celery, chunk.lane, [chunk_id], stamp)
        except QueueUnavailable as error:
            get_logger().warning("doorbell_deferred", chunk_id=chunk_id, error=str(error))
    return chunk_id
