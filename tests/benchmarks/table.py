"""What was measured, as one table: each figure beside its limit, their ratio, and the target."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

BEGIN, END = "<!-- figures: written by `make bench` -->", "<!-- end of the figures -->"
_HEAD = ("measure", "here", "beside", "ratio or difference", "target", "met")


@dataclass(frozen=True, slots=True)
class Target:
    """A bound, in the unit of the figure that is held against it."""

    bound: float
    least: bool
    unit: str = ""

    def __str__(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.bound:g}{' ' if self.unit else ''}{self.unit}"

    def holds(self, value: float) -> bool:
        """Say whether a figure meets it."""
        return value >= self.bound if self.least else value <= self.bound


def at_least(bound: float, unit: str = "") -> Target:
    """Return a target that larger figures meet."""
    return Target(bound, least=True, unit=unit)


def at_most(bound: float, unit: str = "") -> Target:
    """Return a target that smaller figures meet."""
    return Target(bound, least=False, unit=unit)


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure of several rounds: their median, and the least and the greatest."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        if self.least == self.most:
            return _short(self.median)
        return f"{_short(self.median)} ({_short(self.least)} to {_short(self.most)})"


def spread(values: Sequence[float]) -> Spread:
    """Return the median of the rounds with its bounds."""
    return Spread(statistics.median(values), min(values), max(values))


def ratio(ours: Sequence[float], others: Sequence[float]) -> Spread:
    """Return how many times the other figure ours is, round by round: a slow round is slow for both."""
    return spread([one / other for one, other in zip(ours, others, strict=True)])


@dataclass(frozen=True, slots=True)
class Quantiles:
    """The median, the 95th and the 99th percentile, in seconds, and of how many samples."""

    median: float
    most: float
    worst: float
    samples: int

    def __str__(self) -> str:
        found = (f"{value * 1000:.1f}" for value in (self.median, self.most, self.worst))
        return f"{' / '.join(found)} ms (n={self.samples:,})"


def quantiles(seconds: Sequence[float]) -> Quantiles:
    """Return median, 95th and 99th percentile of at least two samples."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return Quantiles(cuts[49], cuts[94], cuts[98], len(seconds))


def evenness(shares: Sequence[float]) -> float:
    """Return Jain's index: 1 when all have the same, 1 / n when one has everything."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


@dataclass(slots=True)
class Table:
    """The rows so far; each is printed as soon as it is known."""

    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missed: int = 0

    def row(self, what: str, here: str, beside: str = "") -> None:
        """Add a figure that has no target."""
        self._add(what, here, beside, "", "", "")

    def held(self, what: str, here: str, beside: str, value: Spread | float, target: Target) -> None:
        """Add a figure, and hold ``value``, its ratio to another or its distance from it, against a target."""
        middle = value.median if isinstance(value, Spread) else value
        holds = target.holds(middle)
        self.missed += not holds
        shown = str(value) if isinstance(value, Spread) else _short(value)
        unit = f" {target.unit}" if target.unit else ""
        self._add(what, here, beside, shown + unit, str(target), "yes" if holds else "**no**")

    def note(self, line: str) -> None:
        """Say something beneath the table."""
        self.notes.append(line)
        print(line, flush=True)

    def _add(self, *cells: str) -> None:
        self.rows.append(cells)
        what, here, beside, value, target, met = cells
        against = f"   beside {beside}" if beside else ""
        judged = f"   {value}; target {target}: {met.strip('*')}" if target else ""
        print(f"{what:<66} {here}{against}{judged}", flush=True)

    def markdown(self) -> list[str]:
        """Return the table and the notes for a page."""
        lines = [_line(_HEAD), "|---" * len(_HEAD) + "|", *map(_line, self.rows)]
        return [*lines, "", "```text", *self.notes, "```"] if self.notes else lines


def write(page: Path, lines: Sequence[str]) -> None:
    """Put the lines between the markers of the page.

    Raises:
        ValueError: the page has no such markers.
    """
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        message = f"{page} has no pair of lines {BEGIN} and {END}"
        raise ValueError(message)
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    page.write_text("\n".join([before + BEGIN, "", *lines, "", END]) + after, encoding="utf-8")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _short(value: float) -> str:
    """Return three digits that matter."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
