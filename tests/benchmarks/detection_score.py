"""Scoring: how much of what is an attack is found, and how much of what is none."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from detection import Event, Finding, RuleSet, Scanner, Severity
from tests.benchmarks.detection_data import BENIGN, Case
from tests.benchmarks.detection_shapes import EMBEDDED, SHAPES


@dataclass(slots=True)
class Tally:
    """How many texts were scanned, and on how many anything, or an alert, was found."""

    texts: int = 0
    anything: int = 0
    alert: int = 0

    def add(self, severity: Severity | None) -> None:
        """Count one verdict."""
        self.texts += 1
        self.anything += severity is not None
        self.alert += severity is not None and severity >= Severity.MEDIUM

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.texts + other.texts, self.anything + other.anything, self.alert + other.alert)


@dataclass(slots=True)
class Score:
    """Everything that was counted, and the cases that a rule author wants to see."""

    recall: dict[tuple[str, str, str], Tally] = field(default_factory=lambda: defaultdict(Tally))
    """By family, source and shape."""
    false: dict[tuple[str, str], Tally] = field(default_factory=lambda: defaultdict(Tally))
    """By kind and source of the benign texts."""
    blamed: Counter[str] = field(default_factory=Counter)
    """How many benign texts each rule alerts on."""
    misses: list[tuple[str, Case]] = field(default_factory=list)
    """Attacks that no alert was given for, each with its shape."""
    hits: list[tuple[Case, Finding]] = field(default_factory=list)
    """Benign texts that an alert was given for, each with the worst finding."""
    seconds: float = 0.0
    scanned: int = 0
    characters: int = 0


def score(rules: RuleSet, cases: Iterable[Case], shapes: Sequence[str] = tuple(SHAPES)) -> Score:
    """Scan every case: attacks in all those shapes, benign texts as they are."""
    scanner, result = Scanner(rules), Score()
    began = time.perf_counter()
    for case in cases:
        for shape in ("bare",) if case.family == BENIGN else shapes:
            text = SHAPES[shape](case.text)
            verdict = scanner.scan(_event(case.field, text))
            result.scanned += 1
            result.characters += len(text)
            if case.family == BENIGN:
                result.false[case.kind, case.source].add(verdict.severity)
                alerts = [finding for finding in verdict.findings if finding.severity >= Severity.MEDIUM]
                result.blamed.update({finding.rule_id for finding in alerts})
                result.hits.extend((case, finding) for finding in alerts)
            else:
                result.recall[case.family, case.source, shape].add(verdict.severity)
                if verdict.severity is None or verdict.severity < Severity.MEDIUM:
                    result.misses.append((shape, case))
    result.seconds = time.perf_counter() - began
    return result


def _event(name: str, text: str) -> Event:
    """Return an event that has nothing but that text."""
    prompt, response = (text, "") if name == "prompt" else ("", text)
    return Event(timestamp="2026-01-01T00:00:00Z", user="", agent="", tool="", prompt=prompt, response=response)


def summary(result: Score) -> list[str]:
    """Return the table: recall by family and source in every shape, then false positives by kind and source."""
    lines = [
        f"{'family':<20}{'source':<44}{'texts':>6}{'bare':>14}{'embedded':>14}{'URL':>14}",
        "(percent found: at medium and above / at all)",
    ]
    families = sorted({family for family, _, _ in result.recall})
    for family in families:
        sources = sorted({source for each, source, _ in result.recall if each == family})
        rows = [_recall_row(result, family, source) for source in sources]
        lines += [_line(family, source, row) for source, row in zip(sources, rows, strict=True)]
        if len(rows) > 1:
            lines.append(_macro(family, rows))
    lines += ["", f"{'benign':<20}{'source':<44}{'texts':>6}{'false positives':>18}"]
    for kind in sorted({kind for kind, _ in result.false}):
        sources = sorted({source for each, source in result.false if each == kind})
        tallies = [result.false[kind, source] for source in sources]
        for source, tally in zip(sources, tallies, strict=True):
            lines.append(f"{kind:<20}{source:<44}{tally.texts:>6}{_percents(tally):>18}")
        if len(sources) > 1:
            total = sum(tallies, Tally())
            lines.append(f"{kind:<20}{'all of them':<44}{total.texts:>6}{_percents(total):>18}")
    if result.blamed:
        lines += ["", "alerts on benign texts, by rule"]
        lines += [f"  {count:>5}  {rule}" for rule, count in result.blamed.most_common(40)]
    rate = result.scanned / max(result.seconds, 1e-9)
    volume = result.characters / max(result.seconds, 1e-9) / 1e6
    lines += ["", f"{result.scanned:,} texts in {result.seconds:.1f} s: {rate:,.0f} a second, {volume:.1f} MB/s"]
    return lines


def _recall_row(result: Score, family: str, source: str) -> tuple[Tally, Tally, Tally]:
    """Return what was found of one family and source: bare, embedded, in a URL."""
    found = {shape: result.recall[family, source, shape] for shape in SHAPES}
    return found["bare"], sum((found[shape] for shape in EMBEDDED), Tally()), found["url"]


def _line(family: str, source: str, row: tuple[Tally, Tally, Tally]) -> str:
    texts = max(tally.texts // (len(EMBEDDED) if index == 1 else 1) for index, tally in enumerate(row))
    return f"{family:<20}{source:<44}{texts:>6}" + "".join(f"{_percents(tally):>14}" for tally in row)


def _macro(family: str, rows: Sequence[tuple[Tally, Tally, Tally]]) -> str:
    """Return the average over sources, in which every source counts alike."""
    cells = []
    for column in zip(*rows, strict=True):
        shares = [(tally.alert / tally.texts, tally.anything / tally.texts) for tally in column if tally.texts]
        alert, anything = (100 * sum(each) / len(each) for each in zip(*shares, strict=True)) if shares else (0, 0)
        cells.append(f"{f'{alert:.1f} /{anything:5.1f}' if shares else '-':>14}")
    return f"{family:<20}{'average over sources':<44}{'':>6}" + "".join(cells)


def _percents(tally: Tally) -> str:
    """Return both tiers as percent."""
    if not tally.texts:
        return "-"
    return f"{100 * tally.alert / tally.texts:.1f} /{100 * tally.anything / tally.texts:5.1f}"
