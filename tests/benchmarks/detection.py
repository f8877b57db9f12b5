"""How good detection is: ``python -m tests.benchmarks.detection``. What the figures mean: docs/detection.md."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from detection import SHIPPED_PACKS, RuleErrors, RuleSet, load_rule_set
from tests.benchmarks.detection_data import BENIGN, Case, installed, labelled
from tests.benchmarks.detection_score import Score, score, summary
from tests.benchmarks.detection_shapes import SHAPES

_VARIABLE = "BENCH_DETECTION_DATA"
_SHOWN = 160
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mcp-sentinel-benchmark"


def main(arguments: Sequence[str] | None = None) -> int:
    """Score, and print one table."""
    options = _options(arguments)
    folder: Path | None = options.data
    if folder is None or not any(folder.glob("*.jsonl.gz")):
        print(
            f"no labelled data in {folder or 'any folder'}: set {_VARIABLE} or --data to a folder of *.jsonl.gz files,"
        )
        print("one JSON object a line with id, source, family, field, tier and text (docs/detection.md).")
        if options.installed == 0:
            return 2
        print("Only false positives on installed packages are measured.\n")
        folder = None
    try:
        rules = _rules(options.packs)
    except RuleErrors as errors:
        print(errors, file=sys.stderr)
        return 1
    cases = list(_cases(folder, options))
    result = score(rules, cases, options.shape or tuple(SHAPES))
    print(f"rule set {rules.version}, {len(rules.rules)} rules")
    print("\n".join(summary(result)))
    _show(result, options)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.detection", description=__doc__)
    default = os.environ.get(_VARIABLE)
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(default) if default else None,
        help=f"folder of the labelled data (${_VARIABLE})",
    )
    parser.add_argument("--family", action="append", help="attacks of this family only; may be repeated; benign: none")
    parser.add_argument("--source", action="append", help="texts whose source contains this only; may be repeated")
    parser.add_argument("--packs", type=Path, action="append", help="these packs, or folders of packs, and no others")
    parser.add_argument("--shape", action="append", choices=SHAPES, help="attacks in this shape only; may be repeated")
    parser.add_argument("--no-benign", action="store_true", help="leave benign texts out")
    parser.add_argument("--installed", type=int, default=300, help="files of installed packages of each sort")
    parser.add_argument("--misses", type=int, default=0, metavar="N", help="show N attacks that gave no alert")
    parser.add_argument("--hits", type=int, default=0, metavar="N", help="show N benign texts of each rule that alerts")
    parser.add_argument("--rule", help="show the hits of this rule only")
    return parser.parse_args(arguments)


def _rules(packs: Sequence[Path] | None) -> RuleSet:
    _CACHE.mkdir(parents=True, exist_ok=True, mode=0o700)
    return load_rule_set(*(packs or [SHIPPED_PACKS]), cache=_CACHE)


def _cases(folder: Path | None, options: argparse.Namespace) -> Iterator[Case]:
    """Return the cases that were asked for."""
    everything = [] if folder is None else list(labelled(folder))
    for case in [*everything, *([] if options.no_benign else installed(options.installed))]:
        if options.source and not any(part in case.source for part in options.source):
            continue
        if case.family == BENIGN:
            if not options.no_benign:
                yield case
        elif not options.family or case.family in options.family:
            yield case


def _show(result: Score, options: argparse.Namespace) -> None:
    """Show examples to whoever writes rules."""
    if options.misses:
        print("\nattacks without an alert")
        step = max(1, len(result.misses) // options.misses)
        for shape, case in result.misses[::step][: options.misses]:
            print(f"  {case.family} {case.id} {case.source} [{shape}] {case.text[:_SHOWN]!r}")
    if options.hits:
        print("\nbenign texts with an alert")
        shown: Counter[str] = Counter()
        for case, finding in result.hits:
            if options.rule in {None, finding.rule_id} and shown[finding.rule_id] < options.hits:
                shown[finding.rule_id] += 1
                print(f"  {finding.rule_id} [{case.kind}] {case.id}: {finding.excerpt[:_SHOWN]!r}")


if __name__ == "__main__":
    raise SystemExit(main())
