"""Compiling rules, once, into what a scan needs: one linear-time database per field, and a small one per expression."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

import hyperscan

from detection.databases import database
from detection.errors import RuleError
from detection.matchers import FieldMatcher, TextMatcher, matchers
from detection.rule import FIELDS, Pattern, Rule

ENGINE = f"1/{version('hyperscan')}"
"""What, besides the rules, decides a verdict. A change of meaning in the engine raises the first number."""


@dataclass(frozen=True, slots=True)
class Expression:
    """One value of a text pattern. Its own database finds where it matches, which the big one cannot tell."""

    rule: Rule
    pattern: Pattern
    value: str
    matcher: TextMatcher
    locator: hyperscan.Database


@dataclass(frozen=True, slots=True)
class Measure:
    """One value of a pattern about the field as a whole."""

    rule: Rule
    pattern: Pattern
    value: str | int
    matcher: FieldMatcher


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """All that is looked for in one field: a match in the database is reported by the expression's position."""

    field: str
    database: hyperscan.Database | None
    expressions: tuple[Expression, ...]
    measures: tuple[Measure, ...]


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The compiled, immutable whole. Scanners share it; each has its own scratch."""

    version: str
    rules: tuple[Rule, ...] = field(repr=False)
    plans: tuple[FieldPlan, ...] = field(repr=False)


def compile_rules(rules: Iterable[Rule]) -> tuple[RuleSet, list[RuleError]]:
    """Return the rules that compile as a rule set, and what is wrong with the others."""
    errors: list[RuleError] = []
    sound = [rule for rule in sorted(rules, key=lambda rule: rule.id) if _compiles(rule, errors)]
    while True:
        try:
            plans = tuple(_plan(name, sound) for name in FIELDS)
        except hyperscan.error as error:
            # Each expression compiles alone, so all together are too much. Without the last rule they may not be.
            dropped = sound.pop()
            errors.append(RuleError("refused-pattern", dropped.place("patterns"), f"together with the others: {error}"))
        else:
            return RuleSet(_version(sound), tuple(sound), plans), errors


def _compiles(rule: Rule, errors: list[RuleError]) -> bool:
    """Say whether every expression of a rule compiles alone: the compiler does not say which of several it refuses."""
    before = len(errors)
    for pattern in rule.patterns:
        matcher = matchers()[pattern.matcher]
        for index, value in enumerate(pattern.values):
            if not isinstance(matcher, TextMatcher):
                continue
            try:
                database((matcher.expression(str(value)),), matcher.flags)
            except hyperscan.error as error:
                errors.append(RuleError("refused-pattern", rule.place("patterns", pattern.name, index), str(error)))
    return len(errors) == before


def _plan(name: str, rules: Sequence[Rule]) -> FieldPlan:
    """Gather everything that the rules look for in a field."""
    expressions: list[Expression] = []
    measures: list[Measure] = []
    sources: list[bytes] = []
    flags = TextMatcher.flags
    for rule in rules:
        for pattern in rule.patterns if name in rule.fields else ():
            matcher = matchers()[pattern.matcher]
            for value in pattern.values:
                if isinstance(matcher, TextMatcher):
                    sources.append(matcher.expression(str(value)))
                    locator = database((sources[-1],), matcher.flags)
                    expressions.append(Expression(rule, pattern, str(value), matcher, locator))
                elif isinstance(matcher, FieldMatcher):
                    measures.append(Measure(rule, pattern, value, matcher))
    combined = database(tuple(sources), flags) if sources else None
    return FieldPlan(name, combined, tuple(expressions), tuple(measures))


def _version(rules: Sequence[Rule]) -> str:
    """Return a digest over everything that decides a verdict or stands in one, however the packs are written."""
    sources = [
        [
            *(rule.id, rule.title, rule.severity.label, rule.confidence, rule.action, rule.status),
            *(sorted(rule.tags.items()), rule.fields, rule.condition_text),
            [(pattern.name, pattern.matcher, pattern.values, pattern.means) for pattern in rule.patterns],
        ]
        for rule in rules
    ]
    normalised = json.dumps([ENGINE, sources], separators=(",", ":"))
    return hashlib.sha256(normalised.encode()).hexdigest()[:8]
