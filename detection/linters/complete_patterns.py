"""A pattern can match, and says to a person what it found."""

from collections.abc import Iterator, Sequence

from detection.errors import RuleError
from detection.rule import Rule


def check(rules: Sequence[Rule]) -> Iterator[RuleError]:
    """Name every rule without fields or patterns, and every pattern without values or meaning."""
    for rule in rules:
        if not rule.fields:
            yield RuleError("bad-value", rule.place("fields"), f"{rule.id} looks at no field")
        if not rule.patterns:
            yield RuleError("bad-value", rule.place("patterns"), f"{rule.id} has no pattern")
        for pattern in rule.patterns:
            place = rule.place("patterns", pattern.name)
            if not pattern.values:
                yield RuleError("bad-value", place, f"{pattern.name} has nothing to look for")
            if pattern.matcher == "regex" and not pattern.means:
                yield RuleError("missing-key", place, f"{pattern.name} needs means: what an expression finds, in words")
