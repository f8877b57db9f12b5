"""How fast detection is: ``python -m tests.benchmarks.detection_speed``. All of it runs on one core, in one run.

What is compared is timed in turns, again and again, in processor time: what slows one down slows down the others.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import Any

import hyperscan
import msgspec
import psutil

from detection import SHIPPED_PACKS, Event, RuleErrors, RuleSet, Scanner, load_rule_set
from detection.cache import cached_in
from detection.cost import LIMIT, costs
from detection.databases import database
from detection.stream import events
from tests.benchmarks.detection_worst import LENGTH, worst

_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mcp-sentinel-benchmark"
_ROOT = Path(__file__).parents[2]
_ROUNDS, _WORST_ROUNDS = 5, 3
_RE_SECONDS = 15.0
_DEAREST = 15
_LITERALS = ("delete all", "ignore instructions", "export database", "shell", "sudo", "<script>", "<system>")
_END = re.compile(rb"(?<!\\)((?:\\\\)*)\\z")

_RATIO, _RATE, _TIMES_RE, _WORST, _MEGABYTES, _START = 0.5, 30_000, 100, 3.0, 150, 0.5
"""The targets."""

Searched = list[tuple[Callable[[Event], str], list[hyperscan.Database]]]


@dataclass(frozen=True, slots=True)
class Timed:
    """What several ways to do something with the same events take, in seconds, a figure for every round."""

    seconds: dict[str, list[float]]

    def best(self, name: str) -> float:
        """Return the time that was least disturbed."""
        return min(self.seconds[name])

    def times(self, name: str, other: str) -> float:
        """Return how many times as long one takes as another, in the median of the rounds."""
        return median(one / two for one, two in zip(self.seconds[name], self.seconds[other], strict=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the section."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.detection_speed", description=__doc__)
    parser.add_argument("--packs", type=Path, action="append", help="these packs, or folders of packs, and no others")
    parser.add_argument("--events", type=int, default=1000, metavar="N", help="how many events the stream has")
    options = parser.parse_args(arguments)
    packs = [path.resolve() for path in options.packs or [SHIPPED_PACKS]]
    _CACHE.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        rules = load_rule_set(*packs, cache=_CACHE)
    except RuleErrors as errors:
        print(errors, file=sys.stderr)
        return 1
    stream = list(events(max(100, options.events), rules.rules))
    with cached_in(_CACHE):
        _report(rules, stream, packs)
    return 0


def _report(rules: RuleSet, stream: Sequence[Event], packs: Sequence[Path]) -> None:
    size = sum(map(_size, stream))
    print(f"\n## Detection, one core\n\n{len(rules.rules)} rules, {_expressions(rules)} expressions;", end=" ")
    print(f"{len(stream)} events of {size / len(stream):,.0f} bytes\n")
    scan = Scanner(rules).scan
    flagged = sum(bool(scan(event).findings) for event in stream)
    _throughput(rules, stream, scan)
    row("events with a finding", f"{flagged / len(stream):.1%}")
    _process(stream, packs)
    _worst_cases(rules, stream, scan)
    _each_rule(rules)


def row(what: str, value: str, target: str = "") -> None:
    """Print one line of the section."""
    print(f"{what:<58} {value:<34} {target}".rstrip(), flush=True)


def _expressions(rules: RuleSet) -> int:
    return len({each.wide for plan in rules.plans for search in plan.searches for each in search.expressions})


def _size(event: Event) -> int:
    return sum(len(text.encode()) for text in (event.tool, event.prompt, event.response, event.user, event.agent))


def _throughput(rules: RuleSet, stream: Sequence[Event], scan: Callable[[Event], object]) -> None:
    """Print how fast all rules are, beside the same expressions in other hands."""
    databases = _raw(rules)
    texts = [
        [(found, each) for read, found in databases for each in [read(event).encode()] if each] for event in stream
    ]
    lines = [msgspec.json.encode(event) for event in stream]
    again = Scanner(rules, remembers=True).scan
    _each(again, stream)
    timed = in_turns(
        {
            "ours": lambda: _each(scan, stream),
            "again": lambda: _each(again, stream),
            "raw": lambda: _each(_scan_raw, texts),
            "naive": lambda: _each(_naive, stream),
            "json": lambda: _each(json.loads, lines),
        },
        _ROUNDS,
    )
    count, size = len(stream), sum(map(_size, stream))
    ours = timed.best("ours")
    row(
        "all rules, with views and candidates",
        f"{count / ours:,.0f} events/s, {size / ours / 1e6:.1f} MB/s",
        f"(target ≥ {_RATE:,})",
    )
    row("the same events again, clean texts remembered", f"{count / timed.best('again'):,.0f} events/s")
    split = max(len(found) for _, found in databases)
    what = "raw Hyperscan, the same expressions" + (f" in {split} databases" if split > 1 else "")
    raw = timed.best("raw")
    row(what, f"{count / raw:,.0f} events/s, {size / raw / 1e6:.1f} MB/s")
    row("ours to raw Hyperscan", f"{timed.times('raw', 'ours'):.2f}", f"(target ≥ {_RATIO})")
    sampled, accepted, seconds = _one_by_one(rules, stream)
    row(
        f"one by one in `re`, from {sampled} events",
        f"{1 / seconds:,.1f} events/s",
        "" if accepted == 1 else f"({accepted:.0%} of the expressions, extrapolated)",
    )
    row("ours to `re`", f"{seconds * count / ours:,.0f} times", f"(target ≥ {_TIMES_RE})")
    row("seven substrings in a loop of Python", f"{count / timed.best('naive'):,.0f} events/s")
    row("json.loads alone", f"{count / timed.best('json'):,.0f} events/s")


def in_turns(ways: Mapping[str, Callable[[], object]], rounds: int) -> Timed:
    """Time every way in every round."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            begun = time.thread_time()
            way()
            seconds[name].append(time.thread_time() - begun)
    return Timed(seconds)


def _each(do: Callable[[Any], object], ones: Sequence[object]) -> None:
    for one in ones:
        do(one)


def _raw(rules: RuleSet) -> Searched:
    """Return, for every field, one database of all its expressions, or more where the engine refuses one so large."""
    return [
        (attrgetter(plan.field), _together(sources))
        for plan in rules.plans
        if plan.field in Event.__struct_fields__
        and (sources := tuple({each.wide: None for search in plan.searches for each in search.expressions}))
    ]


def _together(sources: tuple[bytes, ...]) -> list[hyperscan.Database]:
    try:
        return [database(sources, hyperscan.HS_FLAG_CASELESS)]
    except hyperscan.error:
        if len(sources) == 1:
            raise
        middle = len(sources) // 2
        return [*_together(sources[:middle]), *_together(sources[middle:])]


def _scan_raw(texts: Sequence[tuple[list[hyperscan.Database], bytes]]) -> None:
    for databases, data in texts:
        for searched in databases:
            found: list[int] = []
            searched.scan(data, match_event_handler=_note, context=found)


def _note(identifier: int, _start: int, _end: int, _flags: int, found: object) -> None:
    found.append(identifier)  # type: ignore[attr-defined]


def _naive(event: Event) -> bool:
    prompt, response = event.prompt.lower(), event.response.lower()
    return any(each in prompt or each in response for each in _LITERALS)


def _one_by_one(rules: RuleSet, stream: Sequence[Event]) -> tuple[int, float, float]:
    """Return how many events were tried, which share of the expressions `re` takes, and its seconds per event."""
    asked: list[tuple[Callable[[Event], str], list[re.Pattern[bytes]]]] = []
    taken = whole = 0
    for plan in rules.plans:
        if plan.field in Event.__struct_fields__:
            sources = [each.source for search in plan.searches for each in search.expressions]
            found = [each for each in map(_translated, sources) if each is not None]
            taken, whole = taken + len(found), whole + len(sources)
            asked.append((attrgetter(plan.field), found))
    begun, tried = time.thread_time(), 0
    for event in stream[:: max(1, len(stream) // 20)]:
        for read, found in asked:
            data = read(event).encode()
            for each in found:
                each.search(data)
        tried += 1
        if time.thread_time() - begun > _RE_SECONDS:
            break
    share = taken / max(1, whole)
    return tried, share, (time.thread_time() - begun) / tried / max(share, 1e-9)


def _translated(source: bytes) -> re.Pattern[bytes] | None:
    """Return an expression as `re` writes it, None where it cannot."""
    try:
        return re.compile(_END.sub(rb"\1\\Z", source), re.IGNORECASE)
    except (re.error, OverflowError):
        return None


def _process(stream: Sequence[Event], packs: Sequence[Path]) -> None:
    """Print how long a process takes to its first verdict, and the memory of one that has judged the stream."""
    command = [sys.executable, "-m", "tests.benchmarks.detection_worker", str(_CACHE), *map(str, packs)]
    lines = b"".join(msgspec.json.encode(event) + b"\n" for event in stream)
    seconds: list[float] = []
    megabytes = 0.0
    for _ in range(3):
        begun = time.perf_counter()
        with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(lines[: lines.index(b"\n") + 1])
            process.stdin.flush()
            process.stdout.readline()
            seconds.append(time.perf_counter() - begun)
            process.stdin.write(lines[lines.index(b"\n") + 1 :] + b"\n")
            process.stdin.flush()
            process.stdout.readline()
            memory = psutil.Process(process.pid).memory_full_info()
            megabytes = getattr(memory, "pss", memory.uss) / 1e6
            process.stdin.close()
    row("process start to first verdict, warm cache, best of 3", f"{min(seconds):.2f} s", f"(target < {_START} s)")
    row("memory of that process after the stream (PSS)", f"{megabytes:.0f} MB", f"(target ≤ {_MEGABYTES} MB)")


def _worst_cases(rules: RuleSet, stream: Sequence[Event], scan: Callable[[Event], object]) -> None:
    """Print the time per byte of bad texts, as a multiple of that of ordinary ones."""
    joined = "\n".join(f"{event.prompt}\n{event.response}" for event in stream)
    ordinary = (joined * (LENGTH // len(joined) + 1))[:LENGTH]
    apart = in_turns({"": partial(_each, scan, stream)}, _WORST_ROUNDS).best("") / sum(map(_size, stream))
    print(f"\ntime per byte of a megabyte, as a multiple (target ≤ {_WORST:.0f}; * above it)")
    print(f"{'':<34} {'ns/byte':>8} {'of ordinary text':>18} {'of ordinary events':>20}")
    whole = 0.0
    for what, text in _with_ordinary(ordinary, rules):
        seconds = apart_from_us(partial(_best, scan, _event(text)))
        if seconds is None:
            print(f"{what:<34} the process died of it", flush=True)
            continue
        each = seconds / len(text.encode())
        whole = whole or each
        print(f"{what:<34} {each * 1e9:>8.1f} {_multiple(each / whole):>18} {_multiple(each / apart):>20}", flush=True)


def _best(scan: Callable[[Event], object], event: Event) -> float:
    return in_turns({"": lambda: scan(event)}, _WORST_ROUNDS).best("")


def _multiple(times: float) -> str:
    return f"{times:.1f}{'*' if times > _WORST else ' '}"


def apart_from_us(measure: Callable[[], float]) -> float | None:
    """Return what is measured in a copy of this process; None where that dies: no text may take the others along."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        with os.fdopen(writer, "w") as answer:
            answer.write(repr(measure()))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        found = answer.read()
    _, status = os.waitpid(child, 0)
    return float(found) if status == 0 else None


def _with_ordinary(ordinary: str, rules: RuleSet) -> Iterator[tuple[str, str]]:
    yield "ordinary text", ordinary
    yield from worst(ordinary, rules.rules)


def _event(text: str) -> Event:
    return Event("2026-03-04T05:06:07Z", "user-1", "helper", "search_documents", "", text)


def _each_rule(rules: RuleSet) -> None:
    """Print what the dearest rules cost alone."""
    measured = costs(rules)
    print(f"\ncost of each rule alone, microseconds per event (limit {LIMIT:.0f})")
    for cost in measured[:_DEAREST]:
        mark = "  above the limit" if cost.microseconds > LIMIT else ""
        print(f"{cost.rule.id:<58} {cost.microseconds:.1f}{mark}")
    row(f"median of {len(measured)}", f"{median(cost.microseconds for cost in measured):.1f}")


if __name__ == "__main__":
    raise SystemExit(main())
