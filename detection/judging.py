"""Judging one field: what matched in its views, whether that is a finding, and where it stands in the field."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, product

from detection.compiler import Expression, Measure
from detection.finding import Finding, excerpt
from detection.locating import Locator
from detection.rule import Rule
from detection.views import View, candidates


@dataclass(frozen=True, slots=True)
class Match:
    """A pattern that matched: in which view, where if that is known already, or in no place in particular."""

    part: Expression | Measure
    view: View
    at: tuple[int, int] | None = None


@dataclass(slots=True)
class Evidence:
    """What has matched of one rule in one field; conditions ask it."""

    rule: Rule
    locator: Locator
    names: set[str] = field(default_factory=set)
    matches: list[Match] = field(default_factory=list)
    fresh: list[Match] = field(default_factory=list)

    def add(self, match: Match) -> None:
        """Take a match in."""
        self.names.add(match.part.pattern.name)
        self.matches.append(match)
        self.fresh.append(match)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def near(self, one: str, other: str, distance: int) -> bool:
        """Say whether two patterns match no further apart than that, in code points of the field."""
        return any(
            max(left[0], right[0]) - min(left[1], right[1]) <= distance
            for left, right in product(self._spans(one), self._spans(other))
        )

    def count(self, name: str) -> int:
        """Return how many matches of a pattern there are at different places of the field."""
        return len(set(self._spans(name)))

    def _spans(self, name: str) -> list[tuple[int, int]]:
        """Return where a pattern matches, in code points of the field."""
        return [
            match.view.span(*span)
            for match in self.matches
            if match.part.pattern.name == name and isinstance(match.part, Expression)
            for span in self.locator.spans(match.part, match.view.data)[:_MOST_PLACES]
        ]


_MOST_PLACES = 64


class Case:
    """The judgement of one field of one event; views are put before it one by one, the field itself first."""

    def __init__(self, name: str, view: View, tool: str, locator: Locator) -> None:
        self.findings: list[Finding] = []
        self._name = name
        self._field = view
        self._tool = tool
        self._locator = locator
        self._evidence: dict[str, Evidence] = {}
        self._done: set[str] = set()
        self._cut: dict[int, Sequence[View]] = {}

    def weigh(self, view: View, expressions: Sequence[Expression], measures: Sequence[Measure] = ()) -> None:
        """Take in what may match in a view, and note a finding for every rule whose condition now holds."""
        touched: dict[str, Evidence] = {}
        parts: Iterable[Expression | Measure] = chain(expressions, measures)
        for part in parts:
            if (match := self._match(part, view)) is not None:
                evidence = self._evidence.setdefault(part.rule.id, Evidence(part.rule, self._locator))
                if part.rule.id not in touched:
                    evidence.fresh = []
                    touched[part.rule.id] = evidence
                evidence.add(match)
        for evidence in touched.values():
            if evidence.rule.condition.holds(evidence):
                self._done.add(evidence.rule.id)
                self.findings.append(self._finding(evidence))

    def _match(self, part: Expression | Measure, view: View) -> Match | None:
        """Confirm that a pattern matches, as far as the big database could not tell."""
        rule = part.rule
        if rule.id in self._done or (rule.views and view.name not in rule.views):
            return None
        if rule.tools is not None and not rule.tools.include(self._tool):
            return None
        if isinstance(part, Measure):
            return Match(part, view)
        bits = part.pattern.entropy_above
        for place in self._candidates(view) if part.of_candidate else (view,):
            if bits is not None:
                if (span := self._locator.random_enough(part, place.data, bits)) is not None:
                    return Match(part, place, span)
            elif not part.of_candidate or self._locator.end(part, place.data) is not None:
                return Match(part, place)
        return None

    def _candidates(self, view: View) -> Sequence[View]:
        """Return the values to be cut out of a view, and of what it was made from: there the cuts may be plainer."""
        if id(view) not in self._cut:
            own = tuple(candidates(view))
            self._cut[id(view)] = own if view.source is None else (*own, *self._candidates(view.source))
        return self._cut[id(view)]

    def _finding(self, evidence: Evidence) -> Finding:
        """Write down what was found, at the first place that completed it: there a reader begins."""
        placed = [(self._span(match), match) for match in evidence.fresh]
        span, match = min(placed, key=lambda pair: (pair[0] is None, pair[0] or (0, 0)))
        rule, part, text = evidence.rule, match.part, self._field.text
        start, end = span or (None, None)
        return Finding(
            rule_id=rule.id,
            title=rule.title,
            severity=rule.severity,
            confidence=rule.confidence.value,
            field=self._name,
            start=start,
            end=end,
            excerpt="" if span is None else excerpt(text, *span),
            view=match.view.name,
            reason=f"{self._name} {part.matcher.reason(part.value, part.pattern.means, text)}",
            tags=rule.tags,
        )

    def _span(self, match: Match) -> tuple[int, int] | None:
        """Return where in the field a match stands."""
        if isinstance(match.part, Measure):
            return None
        at = match.at or self._locator.first(match.part, match.view)
        return match.part.matcher.narrow(self._field.text, *match.view.span(*at))
