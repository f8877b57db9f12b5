"""How good detection is: ``python -m tests.benchmarks.detection``. What the figures mean: docs/detection.md."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from detection import SHIPPED_PACKS, RuleErrors, RuleSet, load_rule_set
from tests.benchmarks.detection_data import BENIGN, DEVELOP, HELD_OUT, Case, installed, labelled, sampled
from tests.benchmarks.detection_peers import Answers, asked
from tests.benchmarks.detection_score import OwnScore, own_score, peer_score, place
from tests.benchmarks.detection_shapes import SHAPES
from tests.benchmarks.detection_table import tables, write
from tests.benchmarks.detection_written import written

_VARIABLE = "BENCH_DETECTION_DATA"
_SHOWN = 160
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mcp-sentinel-benchmark"
_PAGE = Path(__file__).parents[2] / "docs" / "detection.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Score, and print the tables."""
    options = _options(arguments)
    folder: Path | None = options.data
    if folder is not None and not any(folder.glob("*.jsonl.gz")):
        print(f"no *.jsonl.gz in {folder}, which {_VARIABLE} or --data names", file=sys.stderr)
        return 2
    try:
        rules = _rules(options.packs)
    except RuleErrors as errors:
        print(errors, file=sys.stderr)
        return 1
    texts = place(sampled(_cases(folder, options), options.sample, options.seed), options.shape or tuple(SHAPES))
    with asked(options.peers, [placed.text for placed in texts]) as answers:
        own = own_score(rules, texts)
    peers = {name: peer_score(texts, verdicts) for name, verdicts in answers.verdicts.items()}
    lines = [*_about(rules, folder, options, answers), "", *tables(own, peers)]
    print("\n".join(lines))
    _show(own, options)
    if options.write:
        write(_PAGE, lines)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.detection", description=__doc__)
    default = os.environ.get(_VARIABLE)
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(default) if default else None,
        help=f"folder of further labelled data (${_VARIABLE})",
    )
    parser.add_argument("--family", action="append", help="attacks of this family only; may be repeated; benign: none")
    parser.add_argument("--source", action="append", help="texts whose source contains this only; may be repeated")
    parser.add_argument("--split", choices=(DEVELOP, HELD_OUT), help="texts of this split only")
    parser.add_argument("--packs", type=Path, action="append", help="these packs, or folders of packs, and no others")
    parser.add_argument("--shape", action="append", choices=SHAPES, help="attacks in this shape only; may be repeated")
    parser.add_argument("--no-benign", action="store_true", help="leave benign texts out")
    parser.add_argument("--installed", type=int, default=300, help="files of installed packages of each sort")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="at most N texts of each source; 0: all")
    parser.add_argument("--seed", type=int, default=20260101, help="what the sample is drawn with")
    parser.add_argument("--peers", type=Path, metavar="PYTHON", help="ask the peers that this interpreter can import")
    parser.add_argument("--misses", type=int, default=0, metavar="N", help="show N attacks that gave no alert")
    parser.add_argument("--hits", type=int, default=0, metavar="N", help="show N benign texts of each rule that alerts")
    parser.add_argument("--rule", help="show the hits of this rule only")
    parser.add_argument("--write", action="store_true", help=f"put the tables into docs/{_PAGE.name}")
    return parser.parse_args(arguments)


def _rules(packs: Sequence[Path] | None) -> RuleSet:
    _CACHE.mkdir(parents=True, exist_ok=True, mode=0o700)
    return load_rule_set(*(packs or [SHIPPED_PACKS]), cache=_CACHE)


def _cases(folder: Path | None, options: argparse.Namespace) -> Iterator[Case]:
    """Return the cases that were asked for."""
    everything = [*written(), *([] if folder is None else labelled(folder))]
    for case in [*everything, *([] if options.no_benign else installed(options.installed))]:
        if options.source and not any(part in case.source for part in options.source):
            continue
        if options.split not in {None, case.split}:
            continue
        if case.family == BENIGN:
            if not options.no_benign:
                yield case
        elif not options.family or case.family in options.family:
            yield case


def _about(rules: RuleSet, folder: Path | None, options: argparse.Namespace, answers: Answers) -> list[str]:
    """Return what must be known to read the figures, or to have them again."""
    sample = f"at most {options.sample} texts of each source, seed {options.seed}" if options.sample else "every text"
    private = "" if folder is None else ", and a private folder"
    lines = [
        f"Measured on {datetime.now(UTC).date()} with rule set `{rules.version}`, {len(rules.rules)} rules; {sample}.",
        f"Data: the texts of `tests/benchmarks/detection_texts/`, files of installed packages{private}.",
    ]
    if answers.versions:
        lines.append(f"Peers: {', '.join(f'{name} {version}' for name, version in answers.versions.items())}.")
    return [*lines, *(f"Not measured: {name} ({reason})." for name, reason in answers.missing.items())]


def _show(own: OwnScore, options: argparse.Namespace) -> None:
    """Show what a rule author wants to know: speed, which rules alert on benign texts, and examples."""
    if own.blamed:
        print("\nalerts on benign texts, by rule")
        print("\n".join(f"  {count:>5}  {rule}" for rule, count in own.blamed.most_common(40)))
    if options.misses:
        print("\nattacks without an alert")
        step = max(1, len(own.misses) // options.misses)
        for placed in own.misses[::step][: options.misses]:
            case = placed.case
            print(f"  {case.family} {case.id} {case.source} [{placed.shape}] {case.text[:_SHOWN]!r}")
    if options.hits:
        print("\nbenign texts with an alert")
        shown: Counter[str] = Counter()
        for case, finding in own.hits:
            if options.rule in {None, finding.rule_id} and shown[finding.rule_id] < options.hits:
                shown[finding.rule_id] += 1
                print(f"  {finding.rule_id} [{case.kind}] {case.id}: {finding.excerpt[:_SHOWN]!r}")
    rate, volume = own.scanned / max(own.seconds, 1e-9), own.characters / max(own.seconds, 1e-9) / 1e6
    print(f"\n{own.scanned:,} texts in {own.seconds:.1f} s: {rate:,.0f} a second, {volume:.1f} MB/s")


if __name__ == "__main__":
    raise SystemExit(main())
