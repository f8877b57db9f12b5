"""``make bench``: what the whole stack does here, against the limit and against the obvious design, in one run."""

import argparse
import asyncio
import os
import platform
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path

import psutil
import uvloop

from tests.benchmarks import accepting, apart, beside, bulk, detection_speed, fairness, overload, rig
from tests.benchmarks.rig import Rig, Sizes
from tests.benchmarks.table import Table, at_most, spread, write
from tests.integration.deploy.running import Stack

_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mcp-sentinel-benchmark" / "stack"
_PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"

Section = Callable[[Rig, Table], Coroutine[None, None, None]]


async def _memory(rig: Rig, table: Table) -> None:
    """Measure what the stack takes before anything was sent."""
    await asyncio.sleep(5)
    found = rig.pss()
    total = sum(found.values())
    table.held("memory of the whole stack before load (PSS)", "", "", total, at_most(500, "MB"))
    parts = ", ".join(f"{name} {size:.0f}" for name, size in sorted(found.items(), key=lambda pair: -pair[1]))
    table.note(f"MB (PSS) before load: {parts}")


MEASURED: Mapping[str, Section] = {
    "memory": _memory,
    "singles": accepting.measure,
    "file": bulk.measure_files,
    "arrays": bulk.measure_arrays,
    "live": beside.measure,
    "fairness": fairness.measure,
    "overload": overload.measure,
}
APART: Mapping[str, Callable[[Sizes, Table], None]] = {
    "stages": apart.stages,
    "storing": apart.storing,
    "reading": apart.reading,
}
LONG = {"storing", "reading"}  # minutes each, to fill a database: only when asked for by name, or in full
STARTS, ENGINE = "start", "engine"
SECTIONS = (STARTS, *MEASURED, *APART, ENGINE)


def main() -> None:
    """Measure the sections asked for, and print one table of the stack and another of its engine."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument(
        "--full", action="store_true", help="the sizes of the targets: 2 GB, ten minutes; an hour or so"
    )
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    options = parser.parse_args()
    usual = [section for section in SECTIONS if options.full or section not in LONG]
    chosen, sizes = options.only or usual, Sizes.chosen(full=options.full)
    begun, table = time.monotonic(), Table()
    print(f"seed {sizes.seed}; {_machine()}\n{sizes.told()}\n", flush=True)
    if {STARTS, *MEASURED}.intersection(chosen):
        _measure(chosen, sizes, table)
    for section, measure in APART.items():
        if section in chosen:
            print(f"\n## {section}", flush=True)
            measure(sizes, table)
    if ENGINE in chosen:
        detection_speed.main([])
    minutes = (time.monotonic() - begun) / 60
    print(f"\n{minutes:.1f} minutes; targets missed: {table.missed}")
    if options.write:
        lines = [f"{_machine()}; {minutes:.0f} minutes; sizes: {sizes.told()}.", "", *table.markdown()]
        write(_PAGE, lines)


def _measure(chosen: Sequence[str], sizes: Sizes, table: Table) -> None:
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-") as name:
        folder = Path(name)
        stack, seconds = rig.start(folder, cache=None if STARTS in chosen else _CACHE)
        try:
            if STARTS in chosen:
                table.row("first start to ready, rules compiled", f"{seconds:.1f} s")
                _restart(stack, sizes, table)
            here = Rig(folder, sizes, stack)
            for section, measure in MEASURED.items():
                if section in chosen:
                    print(f"\n## {section}", flush=True)
                    uvloop.run(measure(here, table))
        finally:
            rig.stop(stack)


def _restart(stack: Stack, sizes: Sizes, table: Table) -> None:
    found = []
    for _ in range(sizes.rounds):
        rig.stop(stack)
        found.append(rig.again(stack))
    taken = spread(found)
    table.held("warm start to ready", "", "", taken, at_most(4, "s"))


def _machine() -> str:
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GB of memory, Python {platform.python_version()}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


if __name__ == "__main__":
    main()
