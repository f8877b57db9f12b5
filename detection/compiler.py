"""Compiling rules, once, into what a scan needs: one linear-time database per field, and a small one per expression."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version

import hyperscan

from detection.databases import database
from detection.errors import RuleError
from detection.matchers import FieldMatcher, TextMatcher, matchers
from detection.overrides import RuleException
from detection.rule import FIELDS, METADATA, Pattern, Rule
from detection.views import AFTER, BEFORE

ENGINE = f"2/{version('hyperscan')}"
"""What, besides the rules, decides a verdict. A change of meaning in the engine raises the first number."""


# An escaped character, a class of characters or an anchor.
_ANCHOR = re.compile(rb"\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|\^|\$", re.DOTALL)
_PLACED = re.compile(r"(\w+)\s+(?:near:\d+\s+(?=(\w+))|count:\d+)")


@dataclass(frozen=True, slots=True)
class Expression:
    """One value of a text pattern. Its own database finds where it matches, which the big one cannot tell.

    The big database looks for candidates with any sign that ends one in place of the ends: what it finds is confirmed.
    """

    rule: Rule
    pattern: Pattern
    value: str
    matcher: TextMatcher
    source: bytes
    locator: hyperscan.Database

    @property
    def of_candidate(self) -> bool:
        """Say whether it looks at values cut out of the text."""
        return self.pattern.on == "candidate"


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
    exceptions: tuple[RuleException, ...] = field(default=(), repr=False)

    @property
    def lapses(self) -> date | None:
        """The last day on which all exceptions still hold: after it the rules are to be loaded anew."""
        return min((exception.expires for exception in self.exceptions), default=None)


def compile_rules(rules: Iterable[Rule], exceptions: tuple[RuleException, ...] = ()) -> tuple[RuleSet, list[RuleError]]:
    """Return the rules that compile as a rule set, and what is wrong with the others."""
    errors: list[RuleError] = []
    sound = [rule for rule in sorted(rules, key=lambda rule: rule.id) if _compiles(rule, errors)]
    while True:
        try:
            plans = tuple(_plan(name, sound) for name in _fields(sound))
        except hyperscan.error as error:
            # Each expression compiles alone, so all together are too much. Without the last rule they may not be.
            dropped = sound.pop()
            errors.append(RuleError("refused-pattern", dropped.place("patterns"), f"together with the others: {error}"))
        else:
            return RuleSet(_version(sound, exceptions), tuple(sound), plans, exceptions), errors


def _compiles(rule: Rule, errors: list[RuleError]) -> bool:
    """Say whether every expression of a rule compiles alone: the compiler does not say which of several it refuses."""
    before = len(errors)
    for pattern in rule.patterns:
        matcher = matchers()[pattern.matcher]
        for index, value in enumerate(pattern.values):
            if not isinstance(matcher, TextMatcher):
                continue
            source = matcher.expression(str(value))
            try:
                database((source,), matcher.flags)
                if pattern.on == "candidate":
                    database((loosened(source),), matcher.flags)
                if pattern.entropy_above is not None or _asks_where(rule, pattern):
                    database((source,), matcher.flags, every=True)
            except hyperscan.error as error:
                errors.append(RuleError("refused-pattern", rule.place("patterns", pattern.name, index), str(error)))
    return len(errors) == before


def _asks_where(rule: Rule, pattern: Pattern) -> bool:
    """Say whether the condition of a rule asks where a pattern matches."""
    return any(pattern.name in {left, right} for left, right in _PLACED.findall(f"{rule.condition_text} "))


def loosened(source: bytes) -> bytes:
    """Return an expression that finds in a text whatever the given one finds in a value cut out of it."""
    return _ANCHOR.sub(_loosen, source)


def _loosen(match: re.Match[bytes]) -> bytes:
    found = match[0]
    if found in {b"^", rb"\A"}:
        return BEFORE
    return AFTER if found in {b"$", rb"\z", rb"\Z"} else found


def _fields(rules: Sequence[Rule]) -> list[str]:
    """Return the fields that any rule could look at, those of metadata as rules name them."""
    return [*FIELDS, *sorted({name for rule in rules for name in rule.fields if name.startswith(METADATA)})]


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
                    source = matcher.expression(str(value))
                    sources.append(loosened(source) if pattern.on == "candidate" else source)
                    locator = database((source,), matcher.flags)
                    expressions.append(Expression(rule, pattern, str(value), matcher, source, locator))
                elif isinstance(matcher, FieldMatcher):
                    measures.append(Measure(rule, pattern, value, matcher))
    combined = database(tuple(sources), flags) if sources else None
    return FieldPlan(name, combined, tuple(expressions), tuple(measures))


def _version(rules: Sequence[Rule], exceptions: Sequence[RuleException]) -> str:
    """Return a digest over everything that decides a verdict or stands in one, however the packs are written."""
    sources = [
        [
            *(rule.id, rule.title, rule.severity.label, rule.confidence, rule.action, rule.status),
            *(sorted(rule.tags.items()), rule.fields, rule.condition_text),
            [(each.name, each.matcher, each.values, each.means, each.on, each.entropy_above) for each in rule.patterns],
            [rule.views, None if rule.tools is None else (rule.tools.only, rule.tools.unless)],
        ]
        for rule in rules
    ]
    excepted = [
        [
            sorted(each.rules),
            sorted((name, sorted(wanted.texts), wanted.patterns) for name, wanted in each.wanted.items()),
            each.expires.isoformat(),
        ]
        for each in exceptions
    ]
    normalised = json.dumps([ENGINE, sources, excepted], separators=(",", ":"))
    return hashlib.sha256(normalised.encode()).hexdigest()[:8]
