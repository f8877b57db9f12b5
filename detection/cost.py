"""What each rule costs alone: a rule above the limit, or whose cost grows faster than the text, is refused.

Machines differ and are busy. So each rule is timed beside a rule of known cost, again and again, and the ratio of the
two decides: what slows one down at that moment slows down the other.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import hyperscan

from detection.compiler import RuleSet, compile_rules, loosened
from detection.databases import database
from detection.errors import RuleError
from detection.event import Event
from detection.matchers import TextMatcher, matchers
from detection.rule import Rule
from detection.scanner import Scanner
from detection.views import encode

LIMIT = 10.0
"""Microseconds that a rule may take for an event of 2.5 kB."""

_YARDSTICK = (rb"\b(?:river|harbou?r)\s+(?:and|or)\s+(?:bridge|ferry)\b", rb"\btimetable\d{2,8}\s*=")
_YARDSTICK_COST = 1.6
"""Microseconds that the rule of known cost takes for such an event where the limit was set."""

_EVENTS, _ROUNDS, _LENGTH, _SHORT = 60, 7, 2500, 400
_SIZES = (16_000, 128_000)
_MOST_GROWTH = 4.0
_WORDS = (
    *("the", "of", "and", "to", "a", "in", "for", "is", "on", "that", "by", "this", "with", "you", "it", "not", "or"),
    *("be", "are", "from", "at", "as", "your", "all", "have", "new", "more", "an", "was", "we", "will", "can", "about"),
    *("please", "table", "select", "file", "user", "report", "update", "system", "script", "order", "value", "error"),
    *("return", "import", "password", "key", "https://example.org/a?b=1", "2026-03-04", "-", "=", "(x)", "12", "{}"),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a rule costs alone, in microseconds per event."""

    rule: Rule
    microseconds: float


def costs(rule_set: RuleSet) -> list[Cost]:
    """Return what each rule costs alone, the dearest first."""
    texts = [encode(text) for text in _texts()]
    yardstick = _timer([database(_YARDSTICK, hyperscan.HS_FLAG_CASELESS)], texts)
    measured = [
        Cost(rule, _YARDSTICK_COST * _ratio(timer, yardstick))
        for rule in rule_set.rules
        if (timer := _timer(_databases(rule), texts)) is not None
    ]
    return sorted(measured, key=lambda cost: -cost.microseconds)


def too_dear(rule_set: RuleSet, measured: Sequence[Cost]) -> Iterator[RuleError]:
    """Name every rule that costs too much, or whose cost grows faster than the text."""
    for cost in measured:
        if cost.microseconds > LIMIT:
            label = f"{cost.rule.id} takes {cost.microseconds:.1f} µs per event, more than {LIMIT:.0f}"
            yield RuleError("slow-rule", cost.rule.place("patterns"), label)
    for rule in rule_set.rules:
        if (growth := _growth(rule)) > _MOST_GROWTH:
            label = f"{rule.id} takes {growth:.1f} times as long per character of a text eight times as long"
            yield RuleError("superlinear-rule", rule.place("patterns"), label)


def _ratio(timer: Callable[[], float], yardstick: Callable[[], float]) -> float:
    """Return how many times as long one takes as the other."""
    return median(timer() / yardstick() for _ in range(_ROUNDS))


def _timer(databases: Sequence[hyperscan.Database], texts: Sequence[bytes]) -> Callable[[], float]:
    """Return a function that times scans of the texts; the best of three is the least disturbed."""
    hits: list[int] = []

    def once() -> float:
        begun = perf_counter()
        for each in databases:
            for text in texts:
                each.scan(text, match_event_handler=_note, context=hits)
        hits.clear()
        return perf_counter() - begun

    return lambda: min(once(), once(), once())


def _databases(rule: Rule) -> list[hyperscan.Database]:
    """Return the database of all expressions of a rule, as they are looked for; none where it has none."""
    sources: list[bytes] = []
    for pattern in rule.patterns:
        matcher = matchers()[pattern.matcher]
        if isinstance(matcher, TextMatcher):
            plain = [matcher.expression(str(value)) for value in pattern.values]
            sources += [loosened(each) if pattern.on == "candidate" else each for each in plain]
    return [database(tuple(sources), TextMatcher.flags)] if sources else []


def _growth(rule: Rule) -> float:
    """Return by how much the time per character grows with the text, made of what the rule looks for."""
    attack = next((test for test in rule.tests if test.attack), None)
    texts = {} if attack is None else {name: text for name, text in attack.fields.items() if isinstance(text, str)}
    if not texts or not _databases(rule):
        return 1.0
    name, text = max(texts.items(), key=lambda item: len(item[1]))
    scanner = Scanner(compile_rules([rule])[0])

    def seconds(size: int) -> float:
        fields = dict.fromkeys(("user", "agent", "tool", "prompt", "response"), "")
        fields.update({**texts, name: f"{text} " * (size // (len(text) + 1) + 1)})
        event = Event("", fields["user"], fields["agent"], fields["tool"], fields["prompt"], fields["response"])
        begun = perf_counter()
        scanner.scan(event)
        return perf_counter() - begun

    small, large = _SIZES
    floor = 0.002
    # Finding the place of a match takes as many scans as its length has bits; that is what the growth allows for.
    return min((seconds(large) / large) / ((seconds(small) + floor) / small) for _ in range(3))


def _texts() -> list[str]:
    """Return prompts and responses of events, made of ordinary words, code, JSON and logs; always the same."""
    chance = random.Random(1)  # noqa: S311 - the same texts every time are the point
    texts: list[str] = []
    for number in range(_EVENTS):
        texts.append(_prose(chance, _SHORT))
        texts.append((_prose, _prose, _code, _json, _log)[number % 5](chance, _LENGTH - _SHORT))
    return texts


def _prose(chance: random.Random, length: int) -> str:
    words = " ".join(chance.choices(_WORDS, k=length // 4))
    return words[:length]


def _code(chance: random.Random, length: int) -> str:
    lines = (
        f"    {chance.choice(_WORDS)}_{number} = {chance.choice(_WORDS)!r} + call({number})  # {_prose(chance, 30)}"
        for number in range(length // 50)
    )
    return "\n".join(lines)[:length]


def _json(chance: random.Random, length: int) -> str:
    rows = [{"id": number, "name": _prose(chance, 20), "text": _prose(chance, 60)} for number in range(length // 120)]
    return json.dumps(rows)[:length]


def _log(chance: random.Random, length: int) -> str:
    lines = (
        f"2026-03-04T05:06:{number % 60:02} INFO worker[{chance.randrange(9999)}] {_prose(chance, 40)}"
        for number in range(length // 70)
    )
    return "\n".join(lines)[:length]


def _note(identifier: int, _start: int, _end: int, _flags: int, hits: object) -> None:
    hits.append(identifier)  # type: ignore[attr-defined]
