"""The admission gate: rules are read, linted, compiled and tried on their own tests before any event meets them."""

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from detection.cache import cached_in, keep, kept
from detection.compiler import RuleSet, compile_rules
from detection.errors import RuleError, RuleErrors
from detection.event import Event
from detection.linters import lint
from detection.loader import load_overrides, load_packs
from detection.overrides import apply, current
from detection.scanner import Scanner
from detection.search import refused, search_of

SHIPPED_PACKS = Path(__file__).parent / "packs"
"""The packs that come with the product."""

_SHOWN = 60


def load_rule_set(
    *folders: Path,
    cache: Path | None = None,
    site: Path | None = None,
    overrides: Path | None = None,
    today: date | None = None,
) -> RuleSet:
    """Return the rules of the folders, or the shipped ones, compiled.

    Args:
        folders: where the packs are.
        cache: a folder of our own in which what is compiled is kept; None leaves that to who calls.
        site: a folder of packs that are added; a rule in it takes the place of another of its id.
        overrides: a file that turns rules off, grades them otherwise, or excepts events from them.
        today: the day by which exceptions have expired or not; None is the day it is.

    Raises:
        RuleErrors: everything that is wrong with any rule, at once. Nothing is loaded then.
    """
    with nullcontext() if cache is None else cached_in(cache):
        rule_set, errors = admit(folders or (SHIPPED_PACKS,), site=site, overrides=overrides, today=today)
    if errors:
        raise RuleErrors(errors)
    return rule_set


def admit(
    paths: Iterable[Path], *, site: Path | None = None, overrides: Path | None = None, today: date | None = None
) -> tuple[RuleSet, list[RuleError]]:
    """Return the rules of those files and folders that nothing is wrong with, and all that is wrong with the others."""
    errors: list[RuleError] = []
    read, sound = load_packs(paths, errors)
    if site is not None:
        added, good = load_packs((site,), errors)
        replaced = {rule.id for rule in added}
        read = [*(rule for rule in read if rule.id not in replaced), *added]
        sound = [*(rule for rule in sound if rule.id not in replaced), *good]
    whole = {id(rule) for rule in sound}
    unsound = [rule for rule in read if id(rule) not in whole]
    errors.extend([*lint(read), *(error for rule in unsound for error in refused(search_of(rule)))])
    # A rule that a linter refused can still be tried, so that its author is told everything in one go.
    rules = list({rule.id: rule for rule in reversed(sound)}.values())
    # Exceptions are for events of the site, not for the tests of rules.
    tried, refusals = compile_rules(rules)
    errors.extend([*refusals, *_failing(tried)])
    if overrides is None:
        return tried, errors
    changed = load_overrides(overrides, errors)
    holding = current(changed, today or datetime.now(UTC).date())
    rule_set, _ = compile_rules(apply(changed, tried.rules, errors), holding)
    return rule_set, errors


def _failing(rule_set: RuleSet) -> list[RuleError]:
    """Try the tests of all rules, unless the same rules are known to pass them."""
    tests = [(rule.id, test.attack, sorted(test.fields.items())) for rule in rule_set.rules for test in rule.tests]
    if kept("passed", rule_set.version, tests) is not None:
        return []
    failing = list(failing_tests(rule_set))
    if not failing:
        keep(b"", "passed", rule_set.version, tests)
    return failing


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
