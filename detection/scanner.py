"""Scanning: one event in, one verdict out. No I/O, no clock, no randomness, and no text that it fails on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

import hyperscan

from detection.compiler import Expression, FieldPlan, Measure, RuleSet
from detection.event import Event
from detection.finding import Finding, excerpt
from detection.rule import FIELDS, Rule
from detection.verdict import Verdict
from detection.views import RawView, encode

_REACH = 64


@dataclass(frozen=True, slots=True)
class _Match:
    """A pattern that matched: where, if anywhere in particular, and why that is so."""

    span: tuple[int, int] | None
    reason: str


class Scanner:
    """Scans events with a rule set. One per thread: the engine's scratch can serve one scan at a time."""

    def __init__(self, rule_set: RuleSet) -> None:
        self.rule_set = rule_set
        self._locator_scratch: dict[hyperscan.Database, hyperscan.Scratch] = {}
        self._clean = Verdict.of((), rule_set.version)
        self._plans: Sequence[tuple[FieldPlan, Callable[[Event], str], hyperscan.Scratch | None]] = [
            (plan, attrgetter(plan.field), hyperscan.Scratch(plan.database) if plan.database is not None else None)
            for plan in rule_set.plans
            if plan.expressions or plan.measures
        ]

    def scan(self, event: Event) -> Verdict:
        """Judge an event by every rule, field by field."""
        findings: list[Finding] = []
        for plan, read, scratch in self._plans:
            text = read(event)
            hits: list[int] = []
            data = b""
            if plan.database is not None:
                data = encode(text)
                plan.database.scan(data, match_event_handler=_note, context=hits, scratch=scratch)
            measures = [measure for measure in plan.measures if measure.matcher.holds(measure.value, text)]
            if hits or measures:
                expressions = [plan.expressions[hit] for hit in sorted(hits)]
                findings.extend(self._judge(plan.field, RawView(text, data), expressions, measures))
        if not findings:
            return self._clean
        findings.sort(key=lambda finding: (-finding.severity, FIELDS.index(finding.field), finding.start or 0))
        return Verdict.of(tuple(findings), self.rule_set.version)

    def _judge(
        self, field: str, view: RawView, expressions: Sequence[Expression], measures: Sequence[Measure]
    ) -> Iterator[Finding]:
        """Give a finding for every rule whose condition holds with what matched in the field."""
        matched: dict[str, tuple[Rule, list[Expression | Measure]]] = {}
        parts: Sequence[Expression | Measure] = [*expressions, *measures]
        for part in parts:
            matched.setdefault(part.rule.id, (part.rule, []))[1].append(part)
        for rule, hits in matched.values():
            if rule.condition.holds({part.pattern.name for part in hits}):
                yield _finding(rule, field, view, self._first(hits, view))

    def _first(self, parts: Sequence[Expression | Measure], view: RawView) -> _Match:
        """Return the match that stands first in the field, for there a reader begins."""
        matches = [
            self._locate(part, view)
            if isinstance(part, Expression)
            else _Match(None, part.matcher.reason(part.value, part.pattern.means, view.text))
            for part in parts
        ]
        return min(matches, key=lambda match: (match.span is None, match.span or (0, 0)))

    def _locate(self, expression: Expression, view: RawView) -> _Match:
        """Find where an expression matches: the first end, then the last start from which it matches up to there.

        Every step is a scan in linear time, and the steps halve. What is found is a text that matches by itself.
        """
        locate = self._end_of(expression)
        end = locate(view.data) or len(view.data)
        width = expression.matcher.width(expression.value)
        first = _last_start(locate, view.data, end) if width is None else end - width
        span = expression.matcher.narrow(view.text, *view.span(first, end))
        return _Match(span, expression.matcher.reason(expression.value, expression.pattern.means, view.text))

    def _end_of(self, expression: Expression) -> Callable[[bytes], int | None]:
        """Return a function that says where the first match of an expression ends."""
        locator = expression.locator
        if locator not in self._locator_scratch:
            self._locator_scratch[locator] = hyperscan.Scratch(locator)
        scratch = self._locator_scratch[locator]

        def end_of(data: bytes) -> int | None:
            ends: list[int] = []
            locator.scan(data, match_event_handler=_note_end, context=ends, scratch=scratch)
            return ends[0] if ends else None

        return end_of


def _last_start(locate: Callable[[bytes], int | None], data: bytes, end: int) -> int:
    """Return the last place from which an expression still matches up to the end of its first match."""
    reach = _REACH
    while reach < end and locate(data[end - reach : end]) is None:
        reach *= 2
    first, last = max(0, end - reach), end
    while last - first > 1:
        middle = (first + last) // 2
        if locate(data[middle:end]) is None:
            last = middle
        else:
            first = middle
    return first


def _note(identifier: int, _start: int, _end: int, _flags: int, hits: object) -> None:
    """Note that an expression matched."""
    hits.append(identifier)  # type: ignore[attr-defined]


def _note_end(_identifier: int, _start: int, end: int, _flags: int, ends: object) -> None:
    """Note where an expression matched."""
    ends.append(end)  # type: ignore[attr-defined]


def _finding(rule: Rule, field: str, view: RawView, match: _Match) -> Finding:
    """Write down what was found."""
    start, end = match.span or (None, None)
    return Finding(
        rule_id=rule.id,
        title=rule.title,
        severity=rule.severity,
        confidence=rule.confidence.value,
        field=field,
        start=start,
        end=end,
        excerpt="" if match.span is None else excerpt(view.text, *match.span),
        view=view.name,
        reason=f"{field} {match.reason}",
        tags=rule.tags,
    )
