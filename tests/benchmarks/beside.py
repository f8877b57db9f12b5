"""Live events while a large file is uploaded and judged: what their clients wait, beside a quiet stack; and memory."""

import asyncio
import time
from pathlib import Path

from tests.benchmarks.bulk import file_of, upload, upload_done
from tests.benchmarks.live import Lives, live
from tests.benchmarks.rig import Rig, growth, watched_memory
from tests.benchmarks.table import Table, at_most, quantiles

_EVERY = 0.025
_MEGABYTES = 64.0


async def measure(rig: Rig, table: Table) -> None:
    """Post live events: half of the idle ones before the upload, half after it."""
    half = rig.sizes.live_samples // 2
    path = file_of(rig.folder / "large.json", rig.sizes.file_events, seed=rig.sizes.seed)
    idle = await _quiet(rig, half)
    before = rig.resident()
    with watched_memory(rig) as most:
        busy, seconds, uploads = await _busy(rig, path)
    idle += await _quiet(rig, half)
    rig.check_accounts()
    assert not idle.refused + busy.refused, "live events were refused"
    size = f"{rig.sizes.file_events:,} events, {path.stat().st_size / 1e9:.2f} GB"
    times = "" if uploads == 1 else f", {uploads} times"
    table.row(
        f"upload beside live events ({size}{times})", f"{uploads * rig.sizes.file_events / seconds:,.0f} events/s"
    )
    _compare(table, idle, busy)
    name, grown = growth(before, most)
    table.held("memory over idle during that upload, most", name.split()[0], "", grown, at_most(_MEGABYTES, "MB"))
    path.unlink()


def _compare(table: Table, idle: Lives, busy: Lives) -> None:
    quiet, loaded = quantiles(idle.verdicts), quantiles(busy.verdicts)
    table.held("live event to verdict, idle, median", str(quiet), "", quiet.median * 1000, at_most(25, "ms"))
    for what, more, bound in (
        ("95th", loaded.most - quiet.most, 50),
        ("99th", loaded.worst - quiet.worst, 150),
    ):
        name = f"live event to verdict, during the upload, {what} over idle"
        table.held(name, str(loaded), f"idle: {quiet}", more * 1000, at_most(bound, "ms"))
    quiet, loaded = quantiles(idle.posts), quantiles(busy.posts)
    more = (loaded.most - quiet.most) * 1000
    table.held("live post, during the upload, 95th over idle", str(loaded), f"idle: {quiet}", more, at_most(15, "ms"))
    quiet, loaded = quantiles(idle.asked), quantiles(busy.asked)
    table.row("live event until GET /api/verdicts/… gives it", f"during: {loaded}", f"idle: {quiet}")


async def _quiet(rig: Rig, samples: int) -> Lives:
    await asyncio.to_thread(rig.wait_until_judged)
    await live(rig.port, rig.database_url, seed=2, every=_EVERY, until=lambda number: number >= samples // 10)  # warm
    return await live(rig.port, rig.database_url, seed=3, every=_EVERY, until=lambda number: number >= samples)


async def _busy(rig: Rig, path: Path) -> tuple[Lives, float, int]:
    """Upload again and again until there are samples enough and the time is up, so that bulk is always busy."""
    over = asyncio.Event()
    posted = 0

    def enough(number: int) -> bool:
        nonlocal posted
        posted = number
        return over.is_set()

    task = asyncio.create_task(live(rig.port, rig.database_url, seed=4, every=_EVERY, until=enough))
    begun, uploads = time.perf_counter(), 0
    while posted < rig.sizes.live_samples or time.perf_counter() - begun < rig.sizes.seconds:
        await upload_done(rig, await upload(rig, path))
        uploads += 1
    over.set()
    seconds = time.perf_counter() - begun
    return await task, seconds, uploads
