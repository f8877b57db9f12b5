"""Uploads and posts on the bulk queue: who gets how many turns, with the queue as one worker serves it."""

import json
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from redis import Redis
from sqlalchemy import Engine

from pipeline.ids import new_uuid
from pipeline.journal import UPLOAD, Journal, Lane
from pipeline.records import RecordLimits
from tests.integration.pipeline.bench import accepted, event, make_bench, one, waiting_bytes
from workers import detect, split
from workers.split import SplitBench

_CHUNK = 1_000
_BULK = 8 * _CHUNK


class Lanes:
    """The bulk queue and its one worker."""

    def __init__(self, redis: Redis, engine: Engine, folder: Path) -> None:
        self.queue: deque[str] = deque()
        self.engine, self._folder = engine, folder
        self._judging = make_bench(redis, engine)
        self.journal: Journal = self._judging.journal
        limits = RecordLimits(max_bytes=10_000, max_depth=32, max_name=512)
        self._splitting = SplitBench(
            journal=self.journal, engine=engine, spool=folder, limits=limits, chunk_events=500, chunk_bytes=_CHUNK,
            bulk_bytes=_BULK, slice_seconds=60, splitter="splitter", ring=self._ring, acknowledged={},
        )  # fmt: skip
        self.most = 0

    def upload(self, chunks: int) -> str:
        """Upload a file that makes about so many chunks."""
        upload_id = str(new_uuid())
        record = {"timestamp": "2024-01-15T14:30:00Z", "user": "u", "agent": "a", "tool": "t", "response": "r"}
        content = json.dumps([{**record, "prompt": "x" * 900}] * chunks).encode()
        (self._folder / f"{upload_id}.json").write_bytes(content)
        self.journal.open_upload(
            upload_id, 1_700_000_000_000_000, file_name="f", bytes_total=len(content), path=f"{upload_id}.json"
        )
        self.queue.append(UPLOAD + upload_id)
        return upload_id

    def post(self, number: int) -> None:
        """Post one chunk."""
        self.queue.append(accepted(self.journal, event("y" * 900), lane=Lane.BULK, flush=number))

    def serve(self, until: Callable[[], bool], *, within: int) -> None:
        """Answer doorbells in their order, and fail when it takes too many."""
        for _ in range(within):
            if until():
                return
            entry = self.queue.popleft()
            if entry.startswith(UPLOAD):
                split.run(entry, self._splitting)
            else:
                detect.run(entry, self._judging)
            self.most = max(self.most, self.journal.uploaded_bytes())
        raise AssertionError(f"not there after {within} doorbells; {len(self.queue)} more wait")

    def judged(self, upload_id: str) -> int:
        """Return how many events of an upload are judged."""
        return int(one(self.engine, "SELECT count(*) FROM events WHERE upload_id = CAST(:id AS uuid)", id=upload_id))

    def _ring(self, entries: Sequence[str], _stamp: int) -> None:
        self.queue.extend(entries)


def test_a_small_upload_is_done_long_before_a_huge_one_that_began_earlier(
    engine: Engine, redis_client: Redis, tmp_path: Path
) -> None:
    """
    They take turns of equal size, although the huge one had filled Redis before the small one came.
    """
    lanes = Lanes(redis_client, engine, tmp_path)
    huge = lanes.upload(200)
    lanes.serve(lambda: lanes.judged(huge) >= 4, within=10)
    small = lanes.upload(12)

    lanes.serve(lambda: lanes.judged(small) == 12, within=60)

    assert lanes.judged(huge) <= 4 + 8 + 12 + _BULK // _CHUNK
    assert lanes.most <= _BULK + 3 * _CHUNK
    lanes.serve(lambda: lanes.judged(huge) == 200, within=500)


def test_any_number_of_uploads_go_on_side_by_side(engine: Engine, redis_client: Redis, tmp_path: Path) -> None:
    """
    None waits for another to end, even when their shares are smaller than a chunk, whatever the order they came in.
    """
    lanes = Lanes(redis_client, engine, tmp_path)
    first = lanes.upload(60)
    lanes.serve(lambda: lanes.judged(first) >= 2, within=10)
    others = [lanes.upload(20) for _ in range(11)]
    lanes.queue.reverse()

    lanes.serve(lambda: min(map(lanes.judged, others)) >= 4, within=400)

    assert max(map(lanes.judged, others)) <= 8
    assert lanes.most <= _BULK + 13 * _CHUNK


def test_posts_do_not_keep_an_upload_waiting_however_many_they_are(
    engine: Engine, redis_client: Redis, tmp_path: Path
) -> None:
    """
    Posted chunks that fill the lane leave an upload its turns.
    """
    lanes = Lanes(redis_client, engine, tmp_path)
    posted = 0

    def posting_and_done() -> bool:
        nonlocal posted
        while waiting_bytes(lanes.journal, Lane.BULK) - lanes.journal.uploaded_bytes() < 2 * _BULK:
            lanes.post(posted := posted + 1)
        return lanes.judged(upload) == 20

    upload = lanes.upload(20)

    lanes.serve(posting_and_done, within=120)
    assert lanes.journal.uploaded_bytes() == 0
