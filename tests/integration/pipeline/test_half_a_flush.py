"""A script that stops half-way: a flush that was not journaled whole is never taken for one that was."""

import asyncio

import pytest
from redis import Redis

from pipeline.errors import JournalUnavailable
from pipeline.intake import Intake
from pipeline.journal import Journal, KeptReceipt, Lane, NewChunk

_IDS = ("a" * 32, "b" * 32)
_RECEIPT = KeptReceipt("key", b"202")


def _flush(redis_url: str) -> tuple[int, list[bytes]]:
    chunks = [NewChunk(id_, lane, 1, b"x", receipt="key") for id_, lane in zip(_IDS, Lane, strict=True)]

    async def accept() -> tuple[int, list[bytes]]:
        intake = Intake(redis_url, "bell of @chunk@", timeout=5, receipt_bytes=10_000)
        try:
            return await intake.accept("a", 1, chunks, [_RECEIPT])
        finally:
            await intake.close()

    return asyncio.run(accept())


def _is_whole(redis_client: Redis) -> bool:
    found = [Journal(redis_client).due(lane, "9" * 17, limit=10)[1] for lane in Lane]
    return found == [[id_] for id_ in _IDS] and Journal(redis_client).read()[1] == len(_IDS)


def test_a_flush_that_stopped_half_way_is_no_flush(redis_url: str, redis_client: Redis) -> None:
    """
    Neither its number nor its receipt answers for it; once Redis is mended the retry journals all of it, once.
    """
    redis_client.set(f"sentinel:open:{Lane.BULK}", "what makes the second chunk fail")
    for _ in range(2):
        with pytest.raises(JournalUnavailable):
            _flush(redis_url)

    redis_client.delete(f"sentinel:open:{Lane.BULK}")
    stamp, kept = _flush(redis_url)

    assert (bool(stamp), kept) == (True, [_RECEIPT.value])
    assert _is_whole(redis_client)


def test_a_doorbell_that_cannot_be_laid_costs_no_chunk(redis_url: str, redis_client: Redis) -> None:
    """
    All chunks are journaled whatever became of the queue, and the sweep rings for them.
    """
    redis_client.set(Lane.REALTIME, "what is no queue")

    stamp, kept = _flush(redis_url)

    assert (bool(stamp), kept) == (True, [_RECEIPT.value])
    assert _is_whole(redis_client)
