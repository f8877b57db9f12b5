"""Scanning: one event in, one verdict out. No I/O, no clock, no randomness, and no text that it fails on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

import hyperscan

from detection.compiler import Expression, FieldPlan, Measure, RuleSet
from detection.event import Event
from detection.finding import Finding
from detection.judging import Case
from detection.locating import Locator
from detection.rule import FIELDS, METADATA
from detection.verdict import Verdict
from detection.views import View, Views, encode, raw

_MOST_TEXTS, _DEEPEST = 256, 8


@dataclass(frozen=True, slots=True)
class Look:
    """One view of one field, and what was hit in it."""

    field: str
    view: View
    expressions: Sequence[Expression]
    measures: Sequence[Measure]


@dataclass(frozen=True, slots=True)
class _Search:
    """A plan that has something to look for, with scratch of our own."""

    plan: FieldPlan
    database: hyperscan.Database | None
    scratch: hyperscan.Scratch | None
    read: Callable[[Event], str]

    def hits(self, data: bytes) -> list[int]:
        """Return the numbers of the expressions that match."""
        found: list[int] = []
        if self.database is not None:
            self.database.scan(data, match_event_handler=_note, context=found, scratch=self.scratch)
        return found

    def expressions(self, hits: list[int]) -> Sequence[Expression]:
        """Return what was hit, in a settled order."""
        return [self.plan.expressions[hit] for hit in sorted(hits)]

    def measures(self, text: str) -> Sequence[Measure]:
        """Return what is true of the field as a whole."""
        return [measure for measure in self.plan.measures if measure.matcher.holds(measure.value, text)]


class Scanner:
    """Scans events with a rule set. One per thread: the engine's scratch can serve one scan at a time."""

    def __init__(self, rule_set: RuleSet) -> None:
        self.rule_set = rule_set
        self._views = Views()
        self._locator = Locator()
        self._clean = Verdict.of((), rule_set.version)
        searches = [_search(plan) for plan in rule_set.plans if plan.expressions or plan.measures]
        self._searches = [search for search in searches if not search.plan.field.startswith(METADATA)]
        self._inside = [search for search in searches if search.plan.field.startswith(METADATA)]

    def scan(self, event: Event) -> Verdict:
        """Judge an event by every rule, field by field."""
        findings: list[Finding] = []
        for search in self._searches:
            if text := search.read(event):
                findings += self._judge(search, search.plan.field, text, event.tool)
        if self._inside and event.metadata:
            for search, name, text in self._texts_inside(event.metadata):
                findings += self._judge(search, name, text, event.tool)
        if not findings:
            return self._clean
        if self.rule_set.exceptions:
            findings = self._unexcepted(event, findings)
            if not findings:
                return self._clean
        findings.sort(key=_rank)
        return Verdict.of(_once(findings), self.rule_set.version)

    def _unexcepted(self, event: Event, findings: Sequence[Finding]) -> list[Finding]:
        """Return the findings that no exception is about."""
        found = {finding.rule_id for finding in findings}
        holding = [
            exception
            for exception in self.rule_set.exceptions
            if not found.isdisjoint(exception.rules) and exception.applies(event, self._locator.is_like)
        ]
        return [finding for finding in findings if not any(each.covers(finding.rule_id) for each in holding)]

    def looks(self, event: Event) -> Iterator[Look]:
        """Give every view of every field that is not empty, with what is hit there: how a verdict comes about."""
        texts = [(search, search.plan.field, search.read(event)) for search in self._searches]
        if event.metadata:
            texts += self._texts_inside(event.metadata)
        for search, name, text in texts:
            if text:
                field = raw(text)
                yield Look(name, field, search.expressions(search.hits(field.data)), search.measures(text))
                for view in self._views.of(field):
                    yield Look(name, view, search.expressions(search.hits(view.data)), ())

    def _judge(self, search: _Search, name: str, text: str, tool: str) -> Sequence[Finding]:
        """Judge one field: as it was sent first, then in the other views that it calls for."""
        data = encode(text)
        hits = search.hits(data)
        measures = search.measures(text) if search.plan.measures else ()
        field = raw(text, data)
        case: Case | None = None
        if hits or measures:
            case = Case(name, field, tool, self._locator)
            case.weigh(field, search.expressions(hits), measures)
        if search.database is not None:
            for view in self._views.of(field):
                if hits := search.hits(view.data):
                    case = case or Case(name, field, tool, self._locator)
                    case.weigh(view, search.expressions(hits))
        return () if case is None else case.findings

    def _texts_inside(self, metadata: Mapping[str, object]) -> list[tuple[_Search, str, str]]:
        """Return the texts in the metadata that any rule looks at, with the search for each."""
        texts = list(_leaves(metadata, METADATA, _DEEPEST))[:_MOST_TEXTS]
        return [
            (search, name, text)
            for search in self._inside
            for name, text in texts
            if search.plan.field in {name, f"{METADATA}*"}
        ]


def _search(plan: FieldPlan) -> _Search:
    scratch = None if plan.database is None else hyperscan.Scratch(plan.database)
    return _Search(plan, plan.database, scratch, attrgetter(plan.field))


def _leaves(value: object, name: str, depth: int) -> Iterator[tuple[str, str]]:
    """Give every text, number and truth value inside the metadata, with its name; lists share one."""
    if isinstance(value, Mapping) and depth:
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}{key}" if name == METADATA else f"{name}.{key}", depth - 1)
    elif isinstance(value, list | tuple) and depth:
        for inner in value:
            yield from _leaves(inner, name, depth - 1)
    elif isinstance(value, str | int | float) and value != "":
        yield name, str(value)


def _rank(finding: Finding) -> tuple[int, int, str, int]:
    """Return what findings are listed by: the worst first, then by field and place."""
    place = FIELDS.index(finding.field) if finding.field in FIELDS else len(FIELDS)
    return -finding.severity, place, finding.field if place == len(FIELDS) else "", finding.start or 0


def _once(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the first finding of every rule and field: one text of metadata can be looked at under two names."""
    return tuple({(finding.rule_id, finding.field): finding for finding in reversed(findings)}.values())[::-1]


def _note(identifier: int, _start: int, _end: int, _flags: int, hits: object) -> None:
    """Note that an expression matched."""
    hits.append(identifier)  # type: ignore[attr-defined]
