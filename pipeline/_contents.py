"""What the journal holds at this moment, for those who only look: the ledger, the pages, and whoever waits for room."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from redis import Redis

from pipeline._scripts import translated

UPLOAD = "upload:"


class Lane(StrEnum):
    """The way a chunk travels; each has its own queue and its own workers."""

    REALTIME = "realtime"
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class OpenChunk:
    """A chunk that waits or is being worked on, as the ledger reads it."""

    chunk_id: str
    weight: int
    acceptor: str
    stamp: int


class Contents:
    """What was accepted and is not settled yet."""

    def __init__(self, redis: Redis) -> None:
        """Look into ``redis``."""
        self._redis = redis

    def upload(self, upload_id: str) -> dict[str, str]:
        """Return the fields of an upload that is being split; empty when it is not."""
        with translated():
            found = cast("dict[bytes, bytes]", self._redis.hgetall("sentinel:entry:" + UPLOAD + upload_id))
        return {name.decode(): value.decode(errors="replace") for name, value in found.items()}

    def open_uploads(self) -> list[str]:
        """Return the ids of the uploads that are being split."""
        with translated(), self._redis.pipeline(transaction=True) as pipe:  # one may move from one to the other
            for kind in ("rung", "leased"):
                pipe.zrange(f"sentinel:{kind}:{Lane.BULK}", 0, -1)
            entries = {entry.decode() for found in pipe.execute() for entry in found}
        return sorted(entry.removeprefix(UPLOAD) for entry in entries if entry.startswith(UPLOAD))

    def chunk_events(self, chunk_ids: Sequence[str]) -> list[tuple[int, int] | None]:
        """Return, for each chunk, its number of events and its accept stamp; None where it is not in the journal."""
        with translated(), self._redis.pipeline(transaction=False) as pipe:
            for chunk_id in chunk_ids:
                pipe.hmget("sentinel:entry:" + chunk_id, ["events", "at"])
            found = pipe.execute()
        return [(int(events), int(at)) if events is not None else None for events, at in found]

    def read(self) -> tuple[int, int, list[OpenChunk]]:
        """Return, of one instant: the time, the events accepted so far, and the open chunks."""
        with translated(), self._redis.pipeline(transaction=True) as pipe:
            pipe.time()
            pipe.hget("sentinel:ledger", "accepted")
            pipe.hgetall("sentinel:weights")
            for lane in Lane:
                pipe.zrange(f"sentinel:open:{lane}", 0, -1, withscores=True)
            (seconds, micros), accepted, weights, *lanes = pipe.execute()
        opened = [
            OpenChunk(chunk_id.decode(), int(weight), acceptor.decode(), int(stamp))
            for entries in lanes
            for chunk_id, stamp in entries
            if chunk_id in weights
            for weight, _, acceptor in [weights[chunk_id].split(b" ", 2)]
        ]
        return seconds * 1_000_000 + micros, int(accepted or 0), opened

    def run_id(self) -> str:
        """Return what names this run of Redis: it is another one after each restart."""
        with translated():
            return str(cast("dict[str, object]", self._redis.info("server"))["run_id"])

    def now(self) -> int:
        """Return the time on Redis' clock, in microseconds since 1970."""
        with translated():
            seconds, micros = self._redis.time()
        return seconds * 1_000_000 + micros

    def in_flight(self) -> int:
        """Return how many events are in the journal; it may count some that were just settled."""
        with translated():
            return max(0, int(cast("bytes | None", self._redis.hget("sentinel:ledger", "open")) or 0))

    def oldest(self) -> dict[Lane, float]:
        """Return the age of each lane's oldest unjudged event, in seconds; 0 where none waits."""
        with translated(), self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            for lane in Lane:
                pipe.zrange(f"sentinel:open:{lane}", 0, 0, withscores=True)
            (seconds, micros), *heads = pipe.execute()
        now = seconds + micros / 1e6
        return {
            lane: max(0.0, round(now - head[0][1] / 1e6, 3)) if head else 0.0
            for lane, head in zip(Lane, heads, strict=True)
        }

    def idle(self) -> dict[Lane, float | None]:
        """Return how many seconds ago a chunk of each lane was taken up or settled; None where that never happened."""
        with translated(), self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hmget("sentinel:progress", [str(lane) for lane in Lane])
            (seconds, micros), found = pipe.execute()
        now = seconds + micros / 1e6
        return {
            lane: None if at is None else max(0.0, round(now - int(at) / 1e6, 3))
            for lane, at in zip(Lane, found, strict=True)
        }

    def uploaded_bytes(self) -> int:
        """Return how many bytes of uploads' chunks are in the journal; posts on the same lane do not count."""
        with translated():
            return int(cast("bytes | None", self._redis.hget("sentinel:bytes", "uploads")) or 0)

    def open_counts(self) -> dict[Lane, int]:
        """Return how many chunks of each lane are in the journal."""
        with translated():
            return {lane: self._redis.zcard(f"sentinel:open:{lane}") for lane in Lane}
