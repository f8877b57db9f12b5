"""Compiling rules, once, into what a scan needs: one database of gates per field, and small ones per rule.

The gates of a field are the literals that its rules need (``detection.gates``). They are all looked for in one scan.
A rule's own expressions run only over texts in which its gate stands open.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from importlib.metadata import version

import hyperscan

from detection.databases import database, refusal
from detection.errors import RuleError
from detection.gates import BOUNDARY, alone, gates
from detection.matchers import FieldMatcher, TextMatcher, matchers
from detection.overrides import RuleException
from detection.rule import FIELDS, METADATA, Pattern, Rule
from detection.views import AFTER, BEFORE, TRIGGERS

ENGINE = f"3/{version('hyperscan')}"
"""What, besides the rules, decides a verdict. A change of meaning in the engine raises the first number."""

Clause = frozenset[bytes]
"""Expressions of which one must match for a gate to open."""

_FLAGS = TextMatcher.flags
_TEXTS = frozenset({"prompt", "response"})
# An escaped character, a class of characters or an anchor.
_ANCHOR = re.compile(rb"\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|\^|\$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Expression:
    """One value of a text pattern."""

    rule: Rule
    pattern: Pattern
    value: str
    matcher: TextMatcher
    source: bytes

    @property
    def of_candidate(self) -> bool:
        """Say whether it looks at values cut out of the text."""
        return self.pattern.on == "candidate"

    @property
    def wide(self) -> bytes:
        """What finds in a text whatever the expression finds in it, or in a value that would be cut out of it."""
        return loosened(self.source) if self.of_candidate else self.source


@dataclass(frozen=True, slots=True)
class Measure:
    """One value of a pattern about the field as a whole."""

    rule: Rule
    pattern: Pattern
    value: str | int
    matcher: FieldMatcher


@dataclass(frozen=True)
class Search:
    """All that one rule looks for in a field: a match is reported by the expression's position."""

    rule: Rule
    expressions: tuple[Expression, ...]
    measures: tuple[Measure, ...]

    @cached_property
    def wide(self) -> hyperscan.Database:
        """What is run over a whole text: for candidates it finds texts worth cutting."""
        return database(tuple(each.wide for each in self.expressions), _FLAGS)

    @cached_property
    def exact(self) -> hyperscan.Database:
        """What is run over a candidate, and to find out where a match stands."""
        return database(tuple(each.source for each in self.expressions), _FLAGS)

    @cached_property
    def gates(self) -> Sequence[tuple[str, Sequence[Clause]]]:
        """What opens the gate of the rule, for each expression: its pattern, and clauses that must all be met.

        That is the literals that it needs, or else the expression itself. But where the condition cannot hold without
        patterns that have gates, the others need none: they run when those do.
        """
        literals = gates(tuple(each.source for each in self.expressions))
        bare = [each for each, needed in zip(self.expressions, literals, strict=True) if not needed]
        without = {each.pattern.name for each in bare}
        measured = {each.pattern.name for each in self.measures}
        for each in sorted(bare, key=lambda each: alone(each.wide)):
            if not self.rule.condition.possible(without | measured):
                break
            without.discard(each.pattern.name)
        return [
            (each.pattern.name, [frozenset(map(_written, clause)) for clause in needed] or [frozenset({each.wide})])
            for each, needed in zip(self.expressions, literals, strict=True)
            if each.pattern.name not in without
        ]

    def compile(self) -> None:
        """Make all of them now.

        Raises:
            hyperscan.error: the engine refuses an expression; it does not say which.
        """
        if self.expressions:
            _ = self.gates, self.wide, self.exact


@dataclass(frozen=True, slots=True)
class Gate:
    """A rule's pattern may match where one of a clause's literals stands, and one of each other clause."""

    search: int
    pattern: str
    others: tuple[frozenset[int], ...]


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """All that is looked for in one field.

    The database reports the triggers of views first, by their positions, and then what opens gates.
    """

    field: str
    database: hyperscan.Database | None
    opens: tuple[tuple[Gate, ...], ...]
    searches: tuple[Search, ...]
    measured: tuple[int, ...]
    """Which searches hold measures: they are asked of every text."""

    ungated: tuple[frozenset[str], ...]
    """For every search, the patterns that may match whenever another gate of it is open."""


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
    every = [_search(rule) for rule in sorted(rules, key=lambda rule: rule.id)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # The compiler works outside the interpreter. Each task has the settings of this one.
        tasks = [pool.submit(copy_context().run, _refusal, search) for search in every]
        refusals = [task.result() for task in tasks]
    errors = [error for wrong in refusals for error in wrong]
    searches = {search.rule.id: search for search, wrong in zip(every, refusals, strict=True) if not wrong}
    sound = tuple(search.rule for search in searches.values())
    plans = tuple(_plan(name, [searches[rule.id] for rule in sound if _shares(name, rule)]) for name in _fields(sound))
    return RuleSet(_version(sound, exceptions), sound, plans, exceptions), errors


def refused(rules: Iterable[Rule]) -> list[RuleError]:
    """Name every expression that the engine refuses: for all of a rule together it does not say which."""
    return [error for rule in rules for error in _refused(_search(rule))]


def _refusal(search: Search) -> list[RuleError]:
    """Compile a rule, or name the expressions that the engine refuses."""
    try:
        search.compile()
    except hyperscan.error as error:
        return list(_refused(search)) or [RuleError("refused-pattern", search.rule.place("patterns"), str(error))]
    return []


def _search(rule: Rule) -> Search:
    expressions: list[Expression] = []
    measures: list[Measure] = []
    for pattern in rule.patterns:
        matcher = matchers()[pattern.matcher]
        for value in pattern.values:
            if isinstance(matcher, TextMatcher):
                text = str(value)
                expressions.append(Expression(rule, pattern, text, matcher, matcher.expression(text)))
            elif isinstance(matcher, FieldMatcher):
                measures.append(Measure(rule, pattern, value, matcher))
    return Search(rule, tuple(expressions), tuple(measures))


def _refused(search: Search) -> Iterator[RuleError]:
    for each in search.expressions:
        rule, pattern = search.rule, each.pattern
        if each.matcher.problem(each.value) is not None:
            continue
        if found := refusal(each.source, _FLAGS) or refusal(each.wide, _FLAGS):
            yield RuleError(found[0], rule.place("patterns", pattern.name, pattern.values.index(each.value)), found[1])


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


def _shares(name: str, rule: Rule) -> bool:
    """Say whether a rule is looked for in a field. Prompts and responses share one database: rules seldom differ."""
    return not _TEXTS.isdisjoint(rule.fields) if name in _TEXTS else name in rule.fields


def _plan(name: str, searches: Sequence[Search]) -> FieldPlan:
    """Gather everything that the rules look for in a field."""
    numbers: dict[bytes, int] = {source: number for number, source in enumerate(TRIGGERS)}
    opens: dict[int, dict[Gate, None]] = {}
    ungated: list[frozenset[str]] = []
    for index, search in enumerate(searches):
        for pattern, (first, *others) in search.gates:
            rest = tuple(frozenset(_number(source, numbers) for source in sorted(other)) for other in others)
            for source in sorted(first):
                opens.setdefault(_number(source, numbers), {})[Gate(index, pattern, rest)] = None
        gated = {pattern for pattern, _ in search.gates}
        ungated.append(frozenset(each.pattern.name for each in search.expressions) - gated)
    measured = tuple(index for index, search in enumerate(searches) if search.measures)
    gates = database(tuple(numbers), _FLAGS) if opens else None
    opened = tuple(tuple(opens.get(number, ())) for number in range(len(numbers)))
    return FieldPlan(name, gates, opened, tuple(searches), measured, tuple(ungated))


def _written(text: bytes) -> bytes:
    """Return a literal of a gate as an expression."""
    return b"".join(rb"\b" if sign == BOUNDARY else b"\\x%02x" % sign for sign in text)


def _number(source: bytes, numbers: dict[bytes, int]) -> int:
    return numbers.setdefault(source, len(numbers))


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
