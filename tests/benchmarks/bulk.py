"""Many events at once, as a file and as arrays of 100: from the first byte to the last verdict, beside ``COPY``."""

import asyncio
import json
import time
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import httpx2

from tests.benchmarks.accepting import through_obvious
from tests.benchmarks.load import anew, events, storm
from tests.benchmarks.rig import Rig, obvious
from tests.benchmarks.table import Table, at_least, ratio, spread

ARRAY = 100
_CONNECTIONS = 8
_BLOCK = 5_000


async def measure_files(rig: Rig, table: Table) -> None:
    """Take turns: a file, ``COPY`` of rows that it became, the obvious design."""
    ours, again, copied, theirs = [], [], [], []
    with obvious(rig) as port:
        await through_obvious(rig, port, seed=1)
        await file_judged(rig, _round_file(rig))
        spent = dict.fromkeys(rig.cpu(), 0.0)
        for number in range(rig.sizes.rounds):
            path = _round_file(rig)
            before = rig.cpu()
            seconds = await file_judged(rig, path)
            spent = {name: spent.get(name, 0.0) + used - before.get(name, 0.0) for name, used in rig.cpu().items()}
            ours.append(rig.sizes.round_events / seconds)
            again.append(rig.sizes.round_events / await file_judged(rig, path))
            copied.append(copy_rate(rig, rig.sizes.round_events))
            theirs.append((await through_obvious(rig, port, seed=rig.sizes.seed + number))[1])
    rig.check_accounts()
    size = f"{rig.sizes.round_events:,} events, {path.stat().st_size / 1e6:.0f} MB"
    rate = f"{spread(ours)} events/s"
    what = f"uploaded file ({size}), first byte to last verdict"
    table.held(what, rate, f"COPY: {spread(copied)} rows/s", ratio(ours, copied), at_least(0.45))
    table.held(what, rate, f"the obvious design: {spread(theirs)}", ratio(ours, theirs), at_least(80))
    table.row("the same file once more", f"{spread(again)} events/s", f"{ratio(again, copied)} of COPY")
    _explain(table, spent, rig.sizes.round_events * rig.sizes.rounds)


def _round_file(rig: Rig) -> Path:
    return file_of(rig.folder / "round.json", rig.sizes.round_events, seed=rig.sizes.seed)


async def measure_arrays(rig: Rig, table: Table) -> None:
    """Take turns: arrays of 100, and ``COPY`` of rows that they became."""
    ours, copied = [], []
    bodies = [*_arrays(rig.sizes.round_events, seed=rig.sizes.seed)]
    await storm(rig.port, "/api/events", bodies[:5], connections=_CONNECTIONS)
    for _ in range(rig.sizes.rounds):
        await asyncio.to_thread(rig.wait_until_judged)
        begun = time.perf_counter()
        _, answers = await storm(rig.port, "/api/events", bodies, connections=_CONNECTIONS)
        assert all(answer.status == 202 for answer in answers)
        await asyncio.to_thread(rig.wait_until_judged)
        ours.append(len(bodies) * ARRAY / (time.perf_counter() - begun))
        copied.append(copy_rate(rig, len(bodies) * ARRAY))
    rig.check_accounts()
    beside = f"COPY: {spread(copied)} rows/s"
    table.held(
        f"arrays of {ARRAY}, accept to verdict", f"{spread(ours)} events/s", beside, ratio(ours, copied), at_least(0.4)
    )


def file_of(path: Path, count: int, *, seed: int) -> Path:
    """Write an array of ``count`` events of about 1.5 KB, no two alike, nor like those of another call."""
    block = [json.dumps(event).encode() for event in events(min(count, _BLOCK), seed=seed)]
    with path.open("wb") as file:
        for start in range(0, count, len(block)):
            file.write(b",\n" if start else b"[")
            file.write(anew(b",\n".join(block[: count - start])))
        file.write(b"]\n")
    return path


async def upload(rig: Rig, path: Path) -> str:
    """Upload a file. Returns the path of its status."""
    curl = await asyncio.create_subprocess_exec(
        "curl", "-sf", "-F", f"file=@{path};type=application/json", f"{rig.url}/api/uploads",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    sent, _ = await curl.communicate()
    assert curl.returncode == 0, f"the upload was refused: {sent!r}"
    return str(json.loads(sent)["status_url"])


async def upload_done(rig: Rig, status_url: str) -> None:
    """Return when all of an upload is judged, although other events are not."""
    upload_id = status_url.rpartition("/")[2]
    while rig.journal.upload(upload_id):
        await asyncio.sleep(0.05)
    async with httpx2.AsyncClient(base_url=rig.url, timeout=60) as client:
        while (state := (await client.get(status_url)).json()["state"]) != "done":
            assert state != "failed", f"{status_url} failed"
            await asyncio.sleep(0.1)


async def file_judged(rig: Rig, path: Path) -> float:
    """Upload a file and wait for its last verdict. Returns the seconds since its first byte."""
    await asyncio.to_thread(rig.wait_until_judged)
    begun = time.perf_counter()
    await upload(rig, path)
    await asyncio.to_thread(rig.wait_until_judged)
    return time.perf_counter() - begun


def copy_rate(rig: Rig, count: int) -> float:
    """Return how many of the newest stored events one connection copies a second into a table without an index."""
    with rig.database() as cursor:
        cursor.execute("DROP TABLE IF EXISTS copied; CREATE TABLE copied (LIKE events)")
        rows = BytesIO()
        cursor.copy_expert(f"COPY (SELECT * FROM events LIMIT {count}) TO STDOUT", rows)
        rows.seek(0)
        begun = time.perf_counter()
        cursor.copy_expert("COPY copied FROM STDIN", rows)
        seconds = time.perf_counter() - begun
        copied = cursor.rowcount
        cursor.execute("DROP TABLE copied")
    return copied / seconds


def _arrays(count: int, *, seed: int) -> list[list[dict[str, str]]]:
    found = events(count, seed=seed)
    return [found[start : start + ARRAY] for start in range(0, count, ARRAY)]


def _explain(table: Table, spent: Mapping[str, float], count: int) -> None:
    """Print what an event of a file cost each part of the stack."""
    table.note(f"CPU µs per event of an uploaded file, by part ({count:,} events)")
    for name, seconds in sorted(spent.items(), key=lambda pair: -pair[1]):
        table.note(f"{name:<14} {seconds / count * 1e6:8.1f}")
    table.note(f"{'together':<14} {sum(spent.values()) / count * 1e6:8.1f}")
