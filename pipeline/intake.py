"""The journal as the door writes to it: the script ``accept``, from an event loop, over one connection of its own.

A thread for it would cost more than the step itself: whoever waits for Redis then also waits for the interpreter.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import cast

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import NoScriptError, ResponseError

from pipeline._scripts import sources, translated
from pipeline.journal import KeptReceipt, NewChunk


class Intake:
    """Journals the flushes of one process, one after the other, and rings for them in the same step."""

    def __init__(self, url: str, bell: str, *, timeout: float, receipt_bytes: int) -> None:
        """Write to the Redis at ``url``.

        Args:
            url: Redis' address.
            bell: the message of a doorbell, as ``pipeline.queue.doorbell`` writes it.
            timeout: seconds after which an answer, or a connection, is waited for no longer.
            receipt_bytes: how much memory of Redis may be kept for receipts.
        """
        self._connection: AbstractConnection = ConnectionPool.from_url(
            url, socket_connect_timeout=timeout, socket_keepalive=True, retry=Retry(NoBackoff(), 0), protocol=2
        ).make_connection()  # type: ignore[no-untyped-call]
        self._bell, self._timeout, self._receipt_bytes = bell, timeout, receipt_bytes
        self._script = dict(sources(()))["accept"]
        self._digest = hashlib.sha1(self._script.encode(), usedforsecurity=False).hexdigest()

    async def accept(
        self, acceptor: str, flush: int, chunks: Sequence[NewChunk], receipts: Sequence[KeptReceipt] = ()
    ) -> tuple[int, list[bytes]]:
        """Journal chunks, all or none, and ring for each; sending the same flush again changes nothing.

        Where a receipt of one of the names is kept already, the chunks that bear it are left out.

        Returns:
            The stamp of the flush, and for each receipt the one that is kept under its name. The stamp is 0 when a
            later flush of this acceptor overtook it and it was dropped.

        Raises:
            JournalFull: Redis refused for want of memory; nothing was journaled.
            JournalUnavailable: the outcome is unknown.
        """
        arguments = _arguments(acceptor, flush, chunks, self._bell, receipts, self._receipt_bytes)
        with translated():
            try:
                async with asyncio.timeout(self._timeout):
                    stamp, *kept = await self._run(arguments)
                    return int(stamp), kept
            except (TimeoutError, OSError) as error:
                message = f"Redis did not answer within {self._timeout} s"
                raise Disconnected(message) from error

    async def close(self) -> None:
        """Hang up."""
        await self._connection.disconnect(nowait=True)

    async def _run(self, arguments: Sequence[str | int | bytes]) -> list[bytes]:
        try:
            return await self._said("EVALSHA", self._digest, 0, *arguments)
        except NoScriptError:
            return await self._said("EVAL", self._script, 0, *arguments)

    async def _said(self, *command: str | int | bytes) -> list[bytes]:
        try:
            await self._connection.send_command(*command)
            return cast("list[bytes]", await self._connection.read_response())
        except ResponseError:
            raise
        except BaseException:
            # An answer that is still under way must never be taken for that of the next command.
            await self._connection.disconnect(nowait=True)
            raise


def _arguments(
    acceptor: str, flush: int, chunks: Sequence[NewChunk], bell: str, receipts: Sequence[KeptReceipt], most: int
) -> list[str | int | bytes]:
    arguments: list[str | int | bytes] = [acceptor, flush, bell, most, len(receipts)]
    for kept in receipts:
        arguments += [kept.name, kept.value]
    for chunk in chunks:
        arguments += [chunk.chunk_id, chunk.lane, chunk.events, chunk.upload_id, chunk.body, chunk.receipt]
    return arguments
