"""A rule shows what it catches, and what it leaves alone."""

from collections.abc import Iterator, Sequence

from detection.errors import RuleError
from detection.rule import Rule


def check(rules: Sequence[Rule]) -> Iterator[RuleError]:
    """Name every rule that lacks attacks or benign twins."""
    for rule in rules:
        name = rule.id or "the rule"
        if not any(test.attack for test in rule.tests):
            yield RuleError("missing-tests", rule.place("tests"), f"{name} has no attack that it must match")
        if all(test.attack for test in rule.tests):
            yield RuleError("missing-tests", rule.place("tests"), f"{name} has no benign twin that it must not match")
