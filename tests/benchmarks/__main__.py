"""``make bench``: what the whole stack does here, against the limit and against the obvious design, in one run."""

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import httpx2
import psutil
import psycopg2

from deploy import ports
from tests.benchmarks import detection_speed
from tests.benchmarks.load import Answer, drip, events, storm
from tests.integration.deploy.running import ROOT, Stack, eventually

SEED = int(os.environ.get("SENTINEL_SEED", "20260101"))
FILE_EVENTS = int(os.environ.get("BENCH_FILE_EVENTS", "100000"))
SINGLES = int(os.environ.get("BENCH_SINGLES", "8000"))
_OBVIOUS = 1500


def main() -> None:
    """Run everything, and print one table of the stack and another of its engine."""
    print(f"seed {SEED}; {os.cpu_count()} cores; {FILE_EVENTS:,} events in the file\n")
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-") as folder:
        stack = Stack(Path(folder) / "home")
        begun = time.perf_counter()
        stack.start()
        try:
            row("first start to ready", f"{time.perf_counter() - begun:.1f} s")
            _restart(stack)
            asyncio.run(_measure(stack, Path(folder)))
        finally:
            _stop(stack)
    detection_speed.main([])


def _restart(stack: Stack) -> None:
    _stop(stack)
    begun = time.perf_counter()
    stack.start()
    row("warm start to ready", f"{time.perf_counter() - begun:.1f} s")


def _stop(stack: Stack) -> None:
    assert stack.launcher is not None
    stack.launcher.send_signal(signal.SIGINT)
    stack.launcher.wait(timeout=30)
    stack.end()


async def _measure(stack: Stack, folder: Path) -> None:
    await asyncio.sleep(5)
    row("memory of the whole stack before load (PSS)", f"{_pss(stack):.0f} MB")
    base = f"http://127.0.0.1:{stack.port}"
    async with httpx2.AsyncClient(base_url=base, timeout=60) as client:
        idle = await drip(stack.port, events(400, seed=SEED), every=0.02, until=asyncio.Event())
        await _judged(client)
        await _latency("idle", client, idle)
        await _upload(stack, client, folder)
        await _singles(stack, client)
    row("memory of the whole stack after load (PSS)", f"{_pss(stack):.0f} MB")
    copy = _copy_rate(stack)
    row("the limit: COPY of such rows by one connection", f"{copy:,.0f} events/s")
    with _obvious(stack) as port:
        seconds, _ = await storm(port, "/bare", events(4000, seed=SEED), connections=32)
        row("the limit: a FastAPI endpoint that does nothing", f"{4000 / seconds:,.0f} requests/s")
        await _obvious_rate(stack, port)


async def _upload(stack: Stack, client: httpx2.AsyncClient, folder: Path) -> None:
    path = folder / "events.json"
    path.write_text(json.dumps(events(FILE_EVENTS, seed=SEED)), encoding="utf-8")
    done = asyncio.Event()
    live = asyncio.create_task(drip(stack.port, events(20_000, seed=SEED + 1), every=0.05, until=done))
    await asyncio.sleep(1)
    begun = time.perf_counter()
    curl = await asyncio.create_subprocess_exec(
        "curl", "-sf", "-F", f"file=@{path};type=application/json", f"http://127.0.0.1:{stack.port}/api/uploads",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    sent, _ = await curl.communicate()
    status_url = json.loads(sent)["status_url"]
    most = 0.0
    while (status := (await client.get(status_url)).json())["state"] not in {"done", "failed"}:
        most = max(most, _pss(stack))
        await asyncio.sleep(0.25)
    seconds = time.perf_counter() - begun
    done.set()
    assert status["judged"] == FILE_EVENTS, status
    size = path.stat().st_size
    row(
        "uploaded file, first byte to last verdict",
        f"{FILE_EVENTS / seconds:,.0f} events/s ({size / seconds / 1e6:.1f} MB/s)",
    )
    row("memory of the whole stack during the upload, most (PSS)", f"{most:.0f} MB")
    answers = await live
    await _judged(client)
    await _latency("during the upload", client, answers)


async def _singles(stack: Stack, client: httpx2.AsyncClient) -> None:
    begun = time.perf_counter()
    seconds, answers = await storm(stack.port, "/api/events", events(SINGLES, seed=SEED + 2), connections=32)
    assert all(answer.status == 202 for answer in answers)
    row("single events accepted, 32 connections", f"{SINGLES / seconds:,.0f} requests/s")
    await _judged(client)
    row("the same, judged", f"{SINGLES / (time.perf_counter() - begun):,.0f} events/s")


async def _latency(when: str, client: httpx2.AsyncClient, answers: Sequence[Answer]) -> None:
    accepted = [answer for answer in answers if answer.status == 202]
    assert len(accepted) == len(answers)
    row(f"post answered, {when} (n={len(accepted)})", quantiles([answer.seconds for answer in accepted]))
    waits = []
    for answer in accepted:
        (event_id,) = json.loads(answer.body)["event_ids"]
        found = (await client.get(f"/api/verdicts/{event_id}")).json()
        waits.append((_time(found["judged_at"]) - _time(found["received_at"])).total_seconds())
    row(f"received to verdict written, {when}", quantiles(waits))


async def _judged(client: httpx2.AsyncClient) -> None:
    while (counts := (await client.get("/api/ledger")).json())["accepted"] != counts["judged"]:
        await asyncio.sleep(0.1)


def _copy_rate(stack: Stack) -> float:
    lines = "\n".join("\t".join(event.values()) for event in events(20_000, seed=SEED))
    with psycopg2.connect(_servers(stack)["SENTINEL_DATABASE_URL"]) as connection, connection.cursor() as cursor:
        columns = 'timestamp text, "user" text, agent text, tool text, prompt text, response text, severity int'
        cursor.execute(f"CREATE TABLE IF NOT EXISTS obvious ({columns})")
        begun = time.perf_counter()
        cursor.copy_expert(
            'COPY obvious (timestamp, "user", agent, tool, prompt, response) FROM STDIN', StringIO(lines)
        )
        connection.commit()
        seconds = time.perf_counter() - begun
        cursor.execute("TRUNCATE obvious")
    return 20_000 / seconds


@contextmanager
def _obvious(stack: Stack) -> Iterator[int]:
    servers, port = _servers(stack), ports.choose()
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "BENCH_REDIS_URL": servers["SENTINEL_REDIS_URL"].rpartition("/")[0] + "/5",
        "BENCH_DATABASE_URL": servers["SENTINEL_DATABASE_URL"],
        "BENCH_RULE_CACHE": str(stack.home.path / "cache" / "rules"),
    }
    quiet: dict[str, Any] = {"env": env, "cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    python = [sys.executable, "-m"]
    server = ["uvicorn", "tests.benchmarks.obvious:app", "--port", str(port), "--no-access-log", "--loop", "uvloop"]
    worker = ["celery", "-A", "tests.benchmarks.obvious:celery", "worker", "-c", "2", "--loglevel", "error"]
    started = [subprocess.Popen([*python, *command], **quiet) for command in (server, worker)]
    try:
        eventually(lambda: _answers(port))
        yield port
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(20)


async def _obvious_rate(stack: Stack, port: int) -> None:
    seconds, _ = await storm(port, "/obvious", events(_OBVIOUS, seed=SEED), connections=32)
    row("the obvious design, accepted", f"{_OBVIOUS / seconds:,.0f} requests/s")
    begun = time.perf_counter()
    with psycopg2.connect(_servers(stack)["SENTINEL_DATABASE_URL"]) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        first = _count(cursor)
        while _count(cursor) < _OBVIOUS and time.perf_counter() - begun < 30:
            await asyncio.sleep(0.05)
        row("the obvious design, judged", f"{(_count(cursor) - first) / (time.perf_counter() - begun):,.0f} events/s")


def _count(cursor: Any) -> int:
    cursor.execute("SELECT count(*) FROM obvious")
    return int(cursor.fetchone()[0])


def _answers(port: int) -> bool:
    try:
        return httpx2.post(f"http://127.0.0.1:{port}/bare", timeout=2).status_code == 202
    except httpx2.HTTPError:
        return False


def _servers(stack: Stack) -> dict[str, str]:
    api = next(child for child in _family(stack) if "deploy.asgi:create_app" in child.cmdline())
    found = api.environ()
    return {name: found[name] for name in ("SENTINEL_REDIS_URL", "SENTINEL_DATABASE_URL")}


def _family(stack: Stack) -> list[psutil.Process]:
    assert stack.launcher is not None
    launcher = psutil.Process(stack.launcher.pid)
    return [launcher, *launcher.children(recursive=True)]


def _pss(stack: Stack) -> float:
    total = 0
    for process in _family(stack):
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def quantiles(seconds: Sequence[float]) -> str:
    """Return the median, the 95th and the 99th percentile in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100)
    return f"median {cuts[49] * 1000:.1f} ms, 95th {cuts[94] * 1000:.1f} ms, 99th {cuts[98] * 1000:.1f} ms"


def row(what: str, value: str) -> None:
    """Print one line of the table."""
    print(f"{what:<58} {value}", flush=True)


if __name__ == "__main__":
    main()
