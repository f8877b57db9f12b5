"""What accepting one event costs the API, beside endpoints that do nothing: ``python -m tests.benchmarks.door``.

The API runs alone on servers of its own, so that nothing but accepting is measured. Rounds take turns, and what is
printed are medians: requests/s of one client, and CPU µs a request of the server's process, of Valkey and
of the client.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import psutil
import uvloop

from deploy import ports
from pipeline.storage import make_engine, migrate, partitions, transaction
from tests import servers
from tests.benchmarks.load import events, request, storm_of

_UVICORN = (
    "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--no-server-header", "--no-proxy-headers",
    "--log-level", "warning",
)  # fmt: skip
_ENDPOINTS = ("/bare", "/async-bare", "/api/events")


def main() -> None:
    """Measure, and print one line an endpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=3000, help="requests of one round")
    parser.add_argument("--connections", type=int, default=32)
    chosen = parser.parse_args()
    with ExitStack() as stack:
        folder = stack.enter_context(servers.temporary_folder())
        redis = stack.enter_context(servers.running(servers.redis_server(folder, maxmemory="2gb")))
        postgres = stack.enter_context(servers.running(servers.postgres_server(folder)))
        _prepare(postgres.url)
        settings = {
            "SENTINEL_REDIS_URL": redis.url, "SENTINEL_DATABASE_URL": postgres.url, "SENTINEL_HOME": str(folder),
            "BENCH_REDIS_URL": redis.url,
        }  # fmt: skip
        bare = stack.enter_context(_served("tests.benchmarks.obvious:app", settings))
        ours = stack.enter_context(_served("deploy.asgi:create_app", settings, "--factory"))
        assert redis.running is not None
        at = {"/bare": bare, "/async-bare": bare, "/api/events": ours}
        measured: dict[str, list[Sequence[float]]] = {path: [] for path in _ENDPOINTS}
        for number in range(chosen.rounds + 1):
            for path in _ENDPOINTS:
                found = _round(path, *at[path], redis.running.pid, chosen)
                if number:  # the first round warms up
                    measured[path].append(found)
    _print(measured)


def _round(
    path: str, port: int, server: psutil.Process, redis_pid: int, chosen: argparse.Namespace
) -> tuple[float, float, float, float]:
    prepared = [request(port, path, json.dumps(body).encode()) for body in events(chosen.requests, seed=1)]
    family = [psutil.Process(), server, psutil.Process(redis_pid)]
    before = [_cpu(process) for process in family]
    seconds, answers = uvloop.run(storm_of(prepared, port, chosen.connections))
    client, serving, storing = (_cpu(process) - spent for process, spent in zip(family, before, strict=True))
    assert all(answer.status == 202 for answer in answers), {answer.status for answer in answers}
    return tuple(
        value / chosen.requests
        for value in (1 / seconds * chosen.requests**2, *(1e6 * each for each in (serving, storing, client)))
    )


def _cpu(process: psutil.Process) -> float:
    found = process.cpu_times()
    return found.user + found.system


def _print(measured: dict[str, list[Sequence[float]]]) -> None:
    print(f"{'':<14}{'requests/s':>12}{'of /bare':>10}{'server µs':>11}{'Valkey µs':>11}{'client µs':>11}")
    limit = statistics.median(found[0] for found in measured["/bare"])
    for path, found in measured.items():
        rate, *costs = (statistics.median(values) for values in zip(*found, strict=True))
        print(f"{path:<14}{rate:>12,.0f}{rate / limit:>10.2f}" + "".join(f"{cost:>11.0f}" for cost in costs))


def _prepare(database_url: str) -> None:
    engine = make_engine(database_url)
    migrate.upgrade(engine)
    with transaction(engine) as connection:
        partitions.ensure(connection, today=datetime.now(UTC))
    engine.dispose()


@contextmanager
def _served(app: str, settings: dict[str, str], *options: str) -> Iterator[tuple[int, psutil.Process]]:
    port = ports.choose()
    argv = [sys.executable, "-m", "uvicorn", app, *options, "--port", str(port), *_UVICORN]
    process = subprocess.Popen(argv, env={**os.environ, **settings}, cwd=Path.cwd(), stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 180  # the rules are compiled first, unless SENTINEL_RULE_CACHE has them
        while not _answers(port):
            assert process.poll() is None, "the server did not come up"
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.1)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


def _answers(port: int) -> bool:
    try:
        httpx2.get(f"http://127.0.0.1:{port}/livez", timeout=2)
    except httpx2.HTTPError:
        return False
    return True


if __name__ == "__main__":
    main()
