"""The upload protocol as a world to be explored: register, split slice by slice, journal, checkpoint, judge, close."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from redis import Redis
from sqlalchemy import Engine

from pipeline.journal import UPLOAD, Lane
from pipeline.records import RecordLimits
from pipeline.storage import uploads
from tests.integration.pipeline.stepping import step
from tests.integration.pipeline.world import Plot, Wording, World
from workers import split
from workers.split import SplitBench

_ID = UUID(int=7)
_TEXTS = {"timestamp": "2024-01-15T14:30:00Z", "agent": "a", "tool": "t", "prompt": "p", "response": "r"}
_RECORDS = ({**_TEXTS, "user": "u0"}, {"user": "refused"}, {**_TEXTS, "user": "u2"}, {**_TEXTS, "user": "u3"})


@dataclass
class Cutting:
    """Where a splitter ends its chunks, in records; the wordings that are found out do not end them all alike."""

    records: Sequence[int] = (2,)
    begun: int = 0

    def next(self) -> int:
        """Return the length of the next splitter's chunks."""
        self.begun += 1
        return self.records[(self.begun - 1) % len(self.records)]


class UploadWorld(World):
    """An installation to which one file is uploaded: four records, one of which is refused."""

    def __init__(
        self, redis: Redis, engine: Engine, url: str, folder: Path, wording: Wording | None = None,
        cutting: Cutting | None = None,
    ) -> None:  # fmt: skip
        """Use real servers, and a folder for the spool."""
        self._folder, self._content = folder, json.dumps(_RECORDS).encode()
        self._cutting = cutting or Cutting()
        super().__init__(redis, engine, url, wording)

    def planned(self) -> Plot:
        """Upload the file."""
        (self._folder / "f.json").write_bytes(self._content)
        self._cutting.begun = 0
        return [("A", self._upload)]

    def work(self, entry: str, name: str) -> None:
        """Split, or judge."""
        if entry.startswith(UPLOAD):
            split.run(entry, self._bench(name))
        else:
            super().work(entry, name)

    def broken(self) -> list[str]:
        """Each record is judged once or refused once, and the upload is done."""
        users = sorted(str(user) for user in self.column('SELECT "user" FROM events'))
        found = [] if users == ["u0", "u2", "u3"] else [f"judged were {users}"]
        refused = self.column("SELECT index FROM rejections")
        found += [] if refused == [1] else [f"refused were {refused}"]
        status = uploads.status(self._engine, self._plain, _ID)
        counts = status and (status.state, status.accepted, status.rejected, status.judged, status.dead)
        found += [] if counts == ("done", 3, 1, 3, 0) else [f"the upload says {counts}"]
        return found if self.acknowledged else []

    def _upload(self) -> None:
        size = len(self._content)
        stamp = self.journal.open_upload(
            str(_ID), 1_700_000_000_000_000, file_name="f", bytes_total=size, path="f.json"
        )
        self.ring(Lane.BULK, [f"{UPLOAD}{_ID}"], stamp)
        step("answer 202")
        self.acknowledged.add(str(_ID))

    def _bench(self, name: str) -> SplitBench:
        return SplitBench(
            journal=self.journal, engine=self.engines[name], spool=self._folder,
            limits=RecordLimits(max_bytes=10_000, max_depth=32, max_name=512), chunk_events=self._cutting.next(),
            chunk_bytes=100_000, bulk_bytes=10_000_000, slice_seconds=1e-9, splitter=f"splitter-{name}",
            ring=lambda entries, stamp: self.ring(Lane.BULK, entries, stamp), acknowledged={},
        )  # fmt: skip
