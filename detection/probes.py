"""Probes: attacks that the rules in force must see, taken from the rules' own tests."""

from collections.abc import Iterator
from itertools import islice

import msgspec

from detection.compiler import RuleSet
from detection.event import Event
from detection.rule import Rule

_BLANK = Event(timestamp="2000-01-01T00:00:00Z", user="", agent="", tool="", prompt="", response="")


def probes(rule_set: RuleSet, *, most: int) -> list[Event]:
    """Return up to ``most`` attacks, each a test of another rule, the gravest rules first.

    Whatever a site turns off or replaces, these are attacks on what is left. An exception may still hide one of them,
    so one is not enough.
    """
    gravest = sorted(rule_set.rules, key=lambda rule: (-rule.severity, rule.id))
    return list(islice((attack for rule in gravest for attack in _first_attack(rule)), most))


def _first_attack(rule: Rule) -> Iterator[Event]:
    attacks = (test for test in rule.tests if test.attack)
    return (msgspec.structs.replace(_BLANK, **test.fields) for test in islice(attacks, 1))
