"""Five times as much as can be judged, at a pace that waits for no answer: what is answered, kept and left over."""

import asyncio
import json
import re
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.benchmarks.live import exchange_whole
from tests.benchmarks.load import anew, events, request, storm
from tests.benchmarks.rig import Rig, growth, watched_memory
from tests.benchmarks.table import Table, at_least, at_most

_TIMES = 5
_ARRAY = 10
_CONNECTIONS = 256
_STATUSES = {202, 429, 503}
_RETRY_AFTER = re.compile(rb"\r\nretry-after: *\d+\r\n")
_MEGABYTES = 32.0


@dataclass(slots=True)
class Answers:
    """What the clients were told: how often each status, and how many refusals named no time to come again."""

    statuses: Counter[int] = field(default_factory=Counter)
    without_time: int = 0
    broken: int = 0

    @property
    def wrong(self) -> int:
        """How many requests got no answer, or one that an overloaded service must not give."""
        others = sum(count for status, count in self.statuses.items() if status not in _STATUSES)
        return self.broken + self.without_time + others


async def measure(rig: Rig, table: Table) -> None:
    """Find out what is judged a second, offer five times as much, and then see how soon all is well again."""
    capacity = await _capacity(rig)
    before = await asyncio.to_thread(_accepted, rig)
    half, answers = rig.sizes.seconds / 2, Answers()
    begun = time.perf_counter()
    with watched_memory(rig) as early:
        offered = await _offer(rig, answers, _TIMES * capacity, half)
    with watched_memory(rig) as later:
        offered += await _offer(rig, answers, _TIMES * capacity, half)
    seconds = time.perf_counter() - begun
    first, single = await _first_answer(rig)
    backlog, waited = rig.journal.in_flight(), time.perf_counter()
    await asyncio.to_thread(rig.wait_until_judged)
    waited = time.perf_counter() - waited
    rig.check_accounts()
    kept = await asyncio.to_thread(_accepted, rig) - before
    told = answers.statuses[202] * _ARRAY + single
    assert kept >= told, f"{told} events were acknowledged, and {kept} judged"

    rate = offered * _ARRAY / seconds
    what = f"overload for {seconds:.0f} s, arrays of {_ARRAY}: events offered"
    table.held(
        what, f"{rate:,.0f} events/s", f"judged when quiet: {capacity:,.0f}", rate / capacity, at_least(_TIMES * 0.9)
    )
    said = ", ".join(f"{status}: {count:,}" for status, count in sorted(answers.statuses.items()))
    table.held("requests answered otherwise than 202, 429 or 503 with Retry-After", said, "", answers.wrong, at_most(0))
    table.held(
        "events acknowledged and not judged",
        f"{told:,} acknowledged",
        f"{kept:,} judged",
        max(0, told - kept),
        at_most(0),
    )
    name, grown = growth(early, later)
    table.held("memory, second half over the first, most", name.split()[0], "", grown, at_most(_MEGABYTES, "MB"))
    table.held("overload ends until a single event is accepted", "", "", first, at_most(1, "s"))
    table.row("backlog judged", f"{backlog:,} events in {waited:.1f} s", f"{backlog / max(waited, 0.1):,.0f} events/s")


async def _capacity(rig: Rig) -> float:
    """Return how many events are judged a second when no more are offered."""
    found = events(rig.sizes.round_events // 2, seed=rig.sizes.seed)
    bodies = [found[start : start + _ARRAY] for start in range(0, len(found), _ARRAY)]
    await storm(rig.port, "/api/events", bodies[:50], connections=8)
    await asyncio.to_thread(rig.wait_until_judged)
    begun = time.perf_counter()
    await storm(rig.port, "/api/events", bodies, connections=8)
    await asyncio.to_thread(rig.wait_until_judged)
    return len(found) / (time.perf_counter() - begun)


async def _offer(rig: Rig, answers: Answers, rate: float, seconds: float) -> int:
    """Send requests at a pace. Returns how many; more than ``_CONNECTIONS`` unanswered ones hold it up."""
    bodies = [events(_ARRAY, seed=rig.sizes.seed + number) for number in range(50)]
    prepared = [request(rig.port, "/api/events", json.dumps(body).encode()) for body in bodies]
    due: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=_CONNECTIONS)
    senders = [asyncio.create_task(_send(rig.port, due, answers)) for _ in range(_CONNECTIONS)]
    begun, sent = time.perf_counter(), 0
    while (passed := time.perf_counter() - begun) < seconds:
        while sent < passed * rate / _ARRAY and time.perf_counter() - begun < seconds:
            await due.put(anew(prepared[sent % len(prepared)]))
            sent += 1
        await asyncio.sleep(0.005)
    for _ in senders:
        await due.put(None)
    await asyncio.gather(*senders)
    return sent


async def _send(port: int, due: "asyncio.Queue[bytes | None]", answers: Answers) -> None:
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    used = 0.0
    while (prepared := await due.get()) is not None:
        if connection is None or time.perf_counter() - used > 2:  # kept alive no longer than the server does
            connection = await asyncio.open_connection("127.0.0.1", port)
        try:
            head, _ = await exchange_whole(*connection, prepared)
        except (OSError, EOFError):
            answers.broken += 1
            connection = None
            continue
        used, status = time.perf_counter(), int(head[9:12])
        answers.statuses[status] += 1
        answers.without_time += status != 202 and not _RETRY_AFTER.search(head)
        if b"\r\nconnection: close" in head:
            connection = None


async def _first_answer(rig: Rig) -> tuple[float, int]:
    """Return the seconds until a single event is accepted, and how many were."""
    begun = time.perf_counter()
    (body,) = events(1, seed=rig.sizes.seed)
    while True:
        _, (answer,) = await storm(rig.port, "/api/events", [body], connections=1)
        if answer.status == 202:
            return time.perf_counter() - begun, 1
        await asyncio.sleep(0.02)


def _accepted(rig: Rig) -> int:
    with rig.database() as cursor:
        cursor.execute("SELECT coalesce(sum(judged), 0) FROM chunks")
        found = cursor.fetchone()
    return int(found[0]) if found else 0
