"""Who gets how much of the bulk lane: a small file beside a huge one, and beside a client that posts all it can."""

import asyncio
import json
import time
from contextlib import suppress
from pathlib import Path

from tests.benchmarks.bulk import file_judged, file_of, upload, upload_done
from tests.benchmarks.live import exchange
from tests.benchmarks.load import anew, events, request
from tests.benchmarks.rig import Rig
from tests.benchmarks.table import Table, at_least, at_most, evenness

_ARRAY = 1_000  # more than a chunk, which makes it bulk
_GREEDY = 4
_HEAD_START = 3.0


async def measure(rig: Rig, table: Table) -> None:
    """Time a small file alone, beside a huge one that began earlier, and beside posts as well."""
    huge = file_of(rig.folder / "huge.json", rig.sizes.round_events * 4, seed=rig.sizes.seed + 1)
    await file_judged(rig, _small(rig))
    alone = await file_judged(rig, _small(rig))
    size = f"{rig.sizes.round_events // 2:,} events"

    beside, shares, rest = await _beside_huge(rig, _small(rig), huge)
    what = f"file of {size} beside one 8 times as large that began {_HEAD_START:.0f} s earlier"
    said = f"done after {beside:.1f} s, {rest:.1f} s before the large one"
    table.held(what, said, f"alone: {alone:.1f} s", beside / alone, at_most(3))
    table.held(
        "the same: evenness of progress while both are in work (Jain)",
        _shown(shares),
        "",
        evenness(shares),
        at_least(0.9),
    )

    beside, posted, seconds = await _beside_posts(rig, _small(rig))
    what = f"file of {size} beside {_GREEDY} connections that post arrays of {_ARRAY:,}"
    said = f"{posted / seconds:,.0f} events/s posted meanwhile"
    table.held(what, said, f"alone: {alone:.1f} s", beside, at_most(30, "s"))
    rig.check_accounts()
    huge.unlink()


def _small(rig: Rig) -> Path:
    return file_of(rig.folder / "small.json", rig.sizes.round_events // 2, seed=rig.sizes.seed)


async def _beside_huge(rig: Rig, small: Path, huge: Path) -> tuple[float, list[float], float]:
    """Return how long the small file takes, what both files get a second meanwhile, and how much later the other is."""
    await asyncio.to_thread(rig.wait_until_judged)
    huge_url = await upload(rig, huge)
    await asyncio.sleep(_HEAD_START)
    begun = time.perf_counter()
    small_url = await upload(rig, small)
    before = _judged(rig, huge_url)
    await upload_done(rig, small_url)
    done = time.perf_counter()
    counts = [_judged(rig, huge_url) - before, _judged(rig, small_url)]
    await upload_done(rig, huge_url)
    return done - begun, [count / (done - begun) for count in counts], time.perf_counter() - done


async def _beside_posts(rig: Rig, small: Path) -> tuple[float, int, float]:
    """Return how long the small file takes while others post, how many events they posted, and in how many seconds."""
    await asyncio.to_thread(rig.wait_until_judged)
    arrays = [events(_ARRAY, seed=rig.sizes.seed + number) for number in range(_GREEDY)]
    prepared = [request(rig.port, "/api/events", json.dumps(array).encode()) for array in arrays]
    posted, began = 0, time.perf_counter()

    async def post_all(body: bytes) -> None:
        nonlocal posted
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        while True:
            status, _ = await exchange(reader, writer, anew(body))
            if status == 202:
                posted += _ARRAY
            else:
                await asyncio.sleep(1)

    posting = [asyncio.create_task(post_all(body)) for body in prepared]
    await asyncio.sleep(_HEAD_START)
    begun = time.perf_counter()
    await upload_done(rig, await upload(rig, small))
    done = time.perf_counter()
    for task in posting:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return done - begun, posted, done - began


def _judged(rig: Rig, status_url: str) -> int:
    with rig.database() as cursor:
        asked = "SELECT coalesce(sum(judged), 0) FROM chunks WHERE upload_id = %s"
        cursor.execute(asked, (status_url.rpartition("/")[2],))
        found = cursor.fetchone()
    return int(found[0]) if found else 0


def _shown(shares: list[float]) -> str:
    return "large and small: " + " and ".join(f"{share:,.0f}" for share in shares) + " events/s"
