"""The admission gate: rules are read, linted, compiled and tried on their own tests before any event meets them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from detection.compiler import RuleSet, compile_rules
from detection.databases import cached_in
from detection.errors import RuleError, RuleErrors
from detection.event import Event
from detection.linters import lint
from detection.loader import load_packs
from detection.scanner import Scanner

SHIPPED_PACKS = Path(__file__).parent / "packs"
"""The packs that come with the product."""

_SHOWN = 60


def load_rule_set(*folders: Path, cache: Path | None = None) -> RuleSet:
    """Return the rules of the folders, or the shipped ones, compiled.

    Args:
        folders: where the packs are.
        cache: a folder of our own in which compiled databases are kept; None keeps none.

    Raises:
        RuleErrors: everything that is wrong with any rule, at once. Nothing is loaded then.
    """
    with cached_in(cache):
        rule_set, errors = admit(folders or (SHIPPED_PACKS,))
    if errors:
        raise RuleErrors(errors)
    return rule_set


def admit(paths: Iterable[Path]) -> tuple[RuleSet, list[RuleError]]:
    """Return the rules of those files and folders that nothing is wrong with, and all that is wrong with the others."""
    errors: list[RuleError] = []
    read, sound = load_packs(paths, errors)
    # A rule that a linter refused can still be tried, so that its author is told everything in one go.
    rule_set, refused = compile_rules({rule.id: rule for rule in reversed(sound)}.values())
    errors.extend([*lint(read), *refused, *failing_tests(rule_set)])
    return rule_set, errors


def failing_tests(rule_set: RuleSet) -> Iterator[RuleError]:
    """Name every test of a rule that does not come out as the rule says."""
    scanner = Scanner(rule_set)
    blank = Event(timestamp="", user="", agent="", tool="", prompt="", response="")
    for rule in rule_set.rules:
        for test in rule.tests:
            verdict = scanner.scan(msgspec.structs.replace(blank, **test.fields))
            found = [finding for finding in verdict.findings if finding.rule_id == rule.id]
            if test.attack and not found:
                yield RuleError("failing-test", test.at, f"{rule.id} does not match this attack")
            elif found and not test.attack:
                why = found[0].reason if len(found[0].reason) <= _SHOWN else f"{found[0].reason[:_SHOWN]}…"
                yield RuleError("failing-test", test.at, f"{rule.id} matches this benign twin: {why}")
