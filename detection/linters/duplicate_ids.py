"""An id names one rule."""

from collections.abc import Iterator, Sequence

from detection.errors import RuleError
from detection.rule import Rule


def check(rules: Sequence[Rule]) -> Iterator[RuleError]:
    """Name every rule whose id was given before."""
    first: dict[str, Rule] = {}
    for rule in rules:
        if rule.id and rule.id in first:
            yield RuleError(
                "duplicate-id", rule.place("id"), f"{rule.id} is already used at {first[rule.id].place('id')}"
            )
        first.setdefault(rule.id, rule)
