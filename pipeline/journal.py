"""The journal: what was accepted and is not settled yet. It lives in Redis, and every step is one script.

The wording of the steps was checked by an exhaustive model; change a script only together with
``docs/architecture.md``, which says what each promises.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from redis import Redis

from pipeline._contents import UPLOAD, Contents, Lane, OpenChunk
from pipeline._scripts import connect, sources, translated
from pipeline.errors import JournalUnavailable

__all__ = ["EMPTY", "UPLOAD", "Journal", "KeptReceipt", "Lane", "Leased", "NewChunk", "OpenChunk", "Slice", "connect"]

EMPTY = "+inf"
_LEASE_SECONDS = 10.0  # whoever works is ended well before, by the time limit of tasks
_GRACE = 1_000_000
# Chunks are judged in company as long as all of them together are a small one.
_COMPANY_EVENTS, _COMPANY_BYTES = 250, 1 << 18
_UNDER_MEMORY_PRESSURE = (
    "lease", "lease_more", "settle", "postpone", "fail", "sweep", "pass_on", "split", "reach", "bereave",
)  # fmt: skip


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


@dataclass(frozen=True, slots=True)
class Leased:
    """An entry that is ours for the length of the lease. Times are microseconds of Redis' clock."""

    entry_id: str
    token: str
    exhausted: bool
    fields: Mapping[str, bytes]

    def text(self, name: str) -> str:
        """Return a field as text, empty where the entry has none."""
        return self.fields.get(name, b"").decode(errors="replace")

    def number(self, name: str) -> int:
        """Return a field as a whole number, 0 where the entry has none."""
        return int(self.fields.get(name) or 0)


@dataclass(frozen=True, slots=True)
class Slice:
    """One step of an upload: the bytes it covers, what was in them, and whether they were the last."""

    start: int
    end: int
    records: int
    rejected: int
    finished: Literal["", "end", "fault"] = ""
    error: str = ""
    chunk: NewChunk | None = None


class Journal(Contents):
    """The accepted chunks that are not settled yet, and the steps that each of them takes."""

    def __init__(self, redis: Redis, *, lease_seconds: float = _LEASE_SECONDS, max_attempts: int = 3) -> None:
        """Use ``redis``; a lease lasts ``lease_seconds``, and ``max_attempts`` failed attempts exhaust a chunk."""
        super().__init__(redis)
        self._lease = round(lease_seconds * 1_000_000)
        self.max_attempts = max_attempts
        self._scripts = {name: redis.register_script(source) for name, source in sources(_UNDER_MEMORY_PRESSURE)}

    def lease(self, entry_id: str, token: str) -> Leased | None:
        """Take an entry for a while. Returns None when it is gone, or somebody else works on it."""
        try:
            found = self._run("lease", [entry_id, token, self._lease, self.max_attempts])
        except JournalUnavailable:
            with suppress(JournalUnavailable):  # a lease that its holder never heard of is nobody's attempt
                self._run("postpone", [token, entry_id])
            raise
        if found[0] not in (b"leased", b"exhausted"):
            return None
        return _leased(entry_id, token, found[1], exhausted=found[0] == b"exhausted")

    def lease_more(self, first: Leased) -> list[Leased]:
        """Take more chunks under the same token, whose doorbells wait; none where company is not for this one.

        From then on each of them, the first too, runs alone should this run not settle it, and this run counts no
        attempt.
        """
        events = _COMPANY_EVENTS - first.number("events")
        size = _COMPANY_BYTES - len(first.fields.get("body", b""))
        if first.number("attempts") or "company" in first.fields or min(events, size) <= 0:
            return []
        lane = first.text("lane")
        found = self._run("lease_more", [first.entry_id, first.token, lane, self._lease, events, size])
        return [_leased(entry_id.decode(), first.token, pairs) for entry_id, pairs in found]

    def settle(self, *entry_ids: str) -> None:
        """Take entries out, after PostgreSQL committed what became of them."""
        self._run("settle", entry_ids)

    def postpone(self, *leased: Leased) -> None:
        """Give leases of one token back; no attempt is counted."""
        self._run("postpone", [leased[0].token, *(each.entry_id for each in leased)])

    def pass_on(self, leased: Leased) -> int:
        """Give a lease back to whoever is rung next. Returns the new ring stamp, 0 if the lease was not ours."""
        return int(self._run("pass_on", [leased.entry_id, leased.token]))

    def split(self, entry_id: str, parts: Sequence[NewChunk]) -> bool:
        """Put parts in the place of a chunk, after PostgreSQL committed it as split. Returns False if it was gone."""
        fields = [field for part in parts for field in (part.chunk_id, part.events, part.body)]
        return bool(self._run("split", [entry_id, *fields]))

    def reach(self, leased: Leased, position: int) -> None:
        """Note which of a chunk's events is judged now; the note may be lost."""
        with suppress(JournalUnavailable):
            self._run("reach", [leased.entry_id, leased.token, position])

    def bereave(self, is_dead: Callable[[str], bool]) -> int:
        """End the leases of the tokens of which ``is_dead`` says that their holders are. Returns how many ended."""
        with translated(), self._redis.pipeline(transaction=False) as pipe:
            for lane in Lane:
                pipe.zrange(f"sentinel:leased:{lane}", 0, -1)
            entries = [entry.decode() for found in pipe.execute() for entry in found]
            for entry in entries:
                pipe.hget("sentinel:entry:" + entry, "token")
            tokens = [(token or b"").decode() for token in pipe.execute()]
        dead = [(token, entry) for token, entry in zip(tokens, entries, strict=True) if is_dead(token)]
        return sum(int(self._run("bereave", each)) for each in dead)

    def fail(self, leased: Leased, error: str) -> None:
        """Give a lease back and count an attempt."""
        self._run("fail", [leased.entry_id, leased.token, error[:2000]])

    def due(self, lane: Lane, oldest_ring: str, *, limit: int) -> tuple[int, list[str]]:
        """Mark what must be rung again as rung now.

        Args:
            lane: which entries.
            oldest_ring: the ring stamp of the oldest doorbell that waits in the lane's queue, or ``EMPTY``.
            limit: most entries of each kind.

        Returns:
            The new ring stamp, and the entries to ring.
        """
        stamp, *entries = self._run("sweep", [lane, oldest_ring, _GRACE, limit])
        return int(stamp), [entry.decode() for entry in entries]

    def rerun(self, chunk: NewChunk, acceptor: str) -> int:
        """Journal a chunk that weighs nothing: a dead letter again, or a canary. Returns its stamp, 0 when it waits."""
        return int(self._run("rerun", [chunk.chunk_id, chunk.lane, chunk.upload_id, chunk.body, acceptor]))

    def open_upload(self, upload_id: str, received_at: int, **fields: str | int) -> int:
        """Register a spooled upload to be split; doing so again changes nothing. Returns its stamp."""
        pairs = [part for pair in fields.items() for part in pair]
        return int(self._run("open_upload", [UPLOAD + upload_id, Lane.BULK, received_at, *pairs]))

    def advance_upload(self, leased: Leased, step: Slice, acceptor: str) -> int:
        """Journal a step's chunk and move the checkpoint. Returns the stamp, 0 if another splitter did it before."""
        chunk = step.chunk or NewChunk("", Lane.BULK, 0, b"")
        return int(
            self._run(
                "advance_upload",
                [leased.entry_id, step.start, step.end, step.records, step.rejected, step.finished, step.error,
                 acceptor, chunk.chunk_id, chunk.lane, chunk.events, chunk.upload_id, chunk.body],
            )
        )  # fmt: skip

    def _run(self, name: str, arguments: Sequence[str | int | bytes]) -> Any:  # noqa: ANN401 - what the script returns
        with translated():
            return self._scripts[name](args=arguments)


def _leased(entry_id: str, token: str, found: Sequence[bytes], *, exhausted: bool = False) -> Leased:
    pairs = iter(found)
    fields = {name.decode(): value for name, value in zip(pairs, pairs, strict=True)}
    return Leased(entry_id, token, exhausted, fields)
