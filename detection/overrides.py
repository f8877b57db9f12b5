"""What a site changes about rules without touching packs: rules turned off or graded otherwise, and exceptions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from detection.errors import RuleError, Span
from detection.event import Event
from detection.rule import Rule


def whole(pattern: str) -> bytes:
    """Return an expression for a text that is as a whole what a pattern of an exception describes."""
    return rf"\A(?:{pattern})\z".encode()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a field must be for an exception: one of these texts in any letter case, or like one of these patterns."""

    texts: frozenset[str] = frozenset()
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleException:
    """Rules that say nothing of certain events, on whose word, why, and until when."""

    rules: frozenset[str]
    wanted: Mapping[str, Wanted]
    owner: str
    reason: str
    expires: date

    def covers(self, rule_id: str) -> bool:
        """Say whether it is about a rule."""
        return rule_id in self.rules

    def applies(self, event: Event, matches: Any) -> bool:  # noqa: ANN401 - a function of expression and text
        """Say whether every field it names is as it says."""
        return all(
            getattr(event, name).strip().casefold() in wanted.texts
            or any(matches(pattern, getattr(event, name)) for pattern in wanted.patterns)
            for name, wanted in self.wanted.items()
        )


@dataclass(frozen=True, slots=True)
class Override:
    """One rule that a site has turned off, or grades or routes otherwise."""

    rule: str
    disabled: bool
    changes: Mapping[str, Any]
    at: Span


@dataclass(frozen=True, slots=True)
class Overrides:
    """Everything that a site has changed."""

    rules: Sequence[Override] = ()
    exceptions: Sequence[RuleException] = ()
    named: Sequence[tuple[str, Span]] = field(default=())
    """The rules that anything in the file is about, and where."""


def apply(overrides: Overrides, rules: Sequence[Rule], errors: list[RuleError]) -> list[Rule]:
    """Return the rules as the site wants them; a rule that is named and does not exist is a mistake."""
    known = {rule.id for rule in rules}
    errors.extend(
        RuleError("unknown-rule", at, f"there is no rule {rule_id}")
        for rule_id, at in overrides.named
        if rule_id not in known
    )
    changes = {override.rule: override for override in overrides.rules}
    return [
        replace(rule, **changes[rule.id].changes) if rule.id in changes else rule
        for rule in rules
        if rule.id not in changes or not changes[rule.id].disabled
    ]


def current(overrides: Overrides, today: date) -> tuple[RuleException, ...]:
    """Return the exceptions that have not expired; the day that is named is the last one."""
    return tuple(exception for exception in overrides.exceptions if exception.expires >= today)
