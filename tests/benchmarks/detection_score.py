"""Scoring: how much of what is an attack is found, and how much of what is none."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from detection import Event, Finding, RuleSet, Scanner, Severity
from tests.benchmarks.detection_data import BENIGN, DEVELOP, Case
from tests.benchmarks.detection_shapes import SHAPES


@dataclass(slots=True)
class Tally:
    """How many texts were scanned, and on how many anything, or an alert, was found."""

    texts: int = 0
    anything: int = 0
    alert: int = 0

    def add(self, *, anything: bool, alert: bool) -> None:
        """Count one verdict."""
        self.texts += 1
        self.anything += anything
        self.alert += alert

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.texts + other.texts, self.anything + other.anything, self.alert + other.alert)


@dataclass(frozen=True, slots=True)
class Placed:
    """A text in the place that it is judged in: attacks in every shape, benign texts as they are."""

    case: Case
    shape: str
    text: str


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """What is counted apart: texts of one family, split and source; of benign ones the kind stands for the family."""

    family: str
    split: str
    source: str


@dataclass(slots=True)
class Score:
    """What one product found."""

    recall: dict[tuple[Group, str], Tally] = field(default_factory=lambda: defaultdict(Tally))
    """By group of attacks and shape."""
    false: dict[Group, Tally] = field(default_factory=lambda: defaultdict(Tally))
    """By group of benign texts."""

    def add(self, placed: Placed, *, anything: bool, alert: bool) -> None:
        """Count one verdict."""
        case = placed.case
        if case.family == BENIGN:
            self.false[Group(case.kind, case.split, case.source)].add(anything=anything, alert=alert)
        else:
            group = Group(case.family, case.split, case.source)
            self.recall[group, placed.shape].add(anything=anything, alert=alert)


@dataclass(slots=True)
class OwnScore(Score):
    """What we found, and the cases that a rule author wants to see; none of those that are held out is among them."""

    blamed: Counter[str] = field(default_factory=Counter)
    """How many benign texts each rule alerts on."""
    misses: list[Placed] = field(default_factory=list)
    """Attacks that no alert was given for."""
    hits: list[tuple[Case, Finding]] = field(default_factory=list)
    """Benign texts that an alert was given for, each with its findings."""
    seconds: float = 0.0
    scanned: int = 0
    characters: int = 0


def place(cases: Iterable[Case], shapes: Sequence[str]) -> list[Placed]:
    """Put every case where it is to be found."""
    return [
        Placed(case, shape, SHAPES[shape](case.text))
        for case in cases
        for shape in (("bare",) if case.family == BENIGN else shapes)
    ]


def own_score(rules: RuleSet, texts: Sequence[Placed]) -> OwnScore:
    """Judge every text by our rules."""
    scanner, result = Scanner(rules), OwnScore()
    began = time.perf_counter()
    for placed in texts:
        verdict = scanner.scan(_event(placed.case.field, placed.text))
        alerts = [finding for finding in verdict.findings if finding.severity >= Severity.MEDIUM]
        result.add(placed, anything=verdict.severity is not None, alert=bool(alerts))
        if placed.case.family == BENIGN:
            result.blamed.update({finding.rule_id for finding in alerts})
        if placed.case.split == DEVELOP:
            if placed.case.family == BENIGN:
                result.hits.extend((placed.case, finding) for finding in alerts)
            elif not alerts:
                result.misses.append(placed)
    result.seconds = time.perf_counter() - began
    result.scanned, result.characters = len(texts), sum(len(placed.text) for placed in texts)
    return result


def peer_score(texts: Sequence[Placed], verdicts: Sequence[bool]) -> Score:
    """Count the verdicts of a peer, which knows one tier only."""
    result = Score()
    for placed, found in zip(texts, verdicts, strict=True):
        result.add(placed, anything=found, alert=found)
    return result


def _event(name: str, text: str) -> Event:
    """Return an event that has nothing but that text."""
    prompt, response = (text, "") if name == "prompt" else ("", text)
    return Event(timestamp="2026-01-01T00:00:00Z", user="", agent="", tool="", prompt=prompt, response=response)
