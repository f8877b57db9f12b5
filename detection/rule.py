"""The rule: one named detection, as data. Nothing here has been compiled yet."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Protocol, Self

from detection.errors import Span

FIELDS = ("tool", "prompt", "response", "user", "agent")
"""The fields of an event that rules can look at, in the order in which findings are listed."""


class Severity(IntEnum):
    """How bad it is if the rule is right."""

    INFORMATIONAL = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def label(self) -> str:
        """The name as rules, verdicts and pages write it."""
        return self.name.lower()

    @classmethod
    def parse(cls, label: str) -> Self:
        """Return the severity of that name.

        Raises:
            ValueError: there is none.
        """
        for severity in cls:
            if severity.label == label:
                return severity
        message = f"no severity is called {label!r}"
        raise ValueError(message)


class Confidence(StrEnum):
    """How often the rule is right."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Action(StrEnum):
    """What a finding of the rule asks for."""

    RECORD = "record"
    ALERT = "alert"
    PAGE = "page"


class Status(StrEnum):
    """How far the rule has come, in the words of Sigma."""

    EXPERIMENTAL = "experimental"
    TEST = "test"
    STABLE = "stable"
    DEPRECATED = "deprecated"


class Condition(Protocol):
    """A boolean over the patterns of a rule."""

    def holds(self, matched: AbstractSet[str]) -> bool:
        """Say whether it is true when exactly these patterns have matched."""


@dataclass(frozen=True, slots=True)
class AtLeast:
    """So many of these patterns have matched; one name and a count of one stand for a pattern alone."""

    count: int
    names: tuple[str, ...]

    def holds(self, matched: AbstractSet[str]) -> bool:
        """Count the patterns that have matched."""
        return sum(name in matched for name in self.names) >= self.count


@dataclass(frozen=True, slots=True)
class Every:
    """All parts are true."""

    parts: tuple[Condition, ...]

    def holds(self, matched: AbstractSet[str]) -> bool:
        """Ask every part."""
        return all(part.holds(matched) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Either:
    """One part or more is true."""

    parts: tuple[Condition, ...]

    def holds(self, matched: AbstractSet[str]) -> bool:
        """Ask the parts until one says yes."""
        return any(part.holds(matched) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not:
    """The part is not true."""

    part: Condition

    def holds(self, matched: AbstractSet[str]) -> bool:
        """Ask the part, and turn its answer round."""
        return not self.part.holds(matched)


@dataclass(frozen=True, slots=True)
class Pattern:
    """What to look for: a kind of matcher and the values given to it, any of which will do."""

    name: str
    matcher: str
    values: tuple[str | int, ...]
    means: str


@dataclass(frozen=True, slots=True)
class RuleTest:
    """A text that the rule must match (an attack), or must not (its benign twin)."""

    attack: bool
    fields: Mapping[str, str]
    at: Span


@dataclass(frozen=True, slots=True)
class Rule:
    """One named detection, with what a person needs to judge it and the tests that it must pass."""

    id: str
    title: str
    description: str
    severity: Severity
    confidence: Confidence
    action: Action
    status: Status
    tags: Mapping[str, list[str]]
    references: tuple[str, ...]
    false_positives: str
    fields: tuple[str, ...]
    patterns: tuple[Pattern, ...]
    condition: Condition
    condition_text: str
    tests: tuple[RuleTest, ...]
    pack: str
    places: Mapping[str, Span] = field(compare=False, repr=False)

    def place(self, *path: object) -> Span:
        """Return where in the pack that part of the rule stands, or the nearest part around it that has a place."""
        names = [str(name) for name in path]
        while names and ".".join(names) not in self.places:
            names.pop()
        return self.places[".".join(names)]
