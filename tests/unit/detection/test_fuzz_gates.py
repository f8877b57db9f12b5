"""A gate never hides a match: whatever an expression matches holds what its gate asks for."""

import re
from collections.abc import Sequence
from functools import cache
from random import Random

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from detection import Event, RuleSet, Scanner, load_rule_set
from detection.databases import database
from detection.locating import Locator
from detection.search import Expression
from detection.views import TRIGGERS, candidates, made, raw
from tests.fuzz import checks, seeds
from tests.fuzz.grown import grown

patient = settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
LOCATOR = Locator()
TIMES = 8


@cache
def _shipped() -> RuleSet:
    """Return the shipped rules; not a fixture, whose parts would be printed with every failure."""
    return load_rule_set()


@cache
def _expressions() -> Sequence[Expression]:
    """Return every expression of every shipped rule, each once."""
    found = (each for search in checks.searches(_shipped()).values() for each in search.expressions)
    return tuple({each.source: each for each in found}.values())


def _matches(expression: Expression, data: bytes) -> bool:
    return bool(LOCATOR.hits(database((expression.source,), expression.matcher.flags), data))


def _read(source: bytes) -> re.Pattern[bytes] | None:
    """Return an expression as Python reads it, None where it cannot."""
    try:
        return re.compile(source.replace(rb"\z", rb"\Z"))
    except re.error:
        return None


@patient
@given(data=st.data())
def test_what_is_made_to_match_an_expression_opens_its_gate(data: st.DataObject) -> None:
    """
    In each text that the engine finds an expression in, one literal of each clause of its gate stands.
    """
    expression = data.draw(st.sampled_from(_expressions()))
    pattern = _read(expression.source)
    assume(pattern is not None)
    assert pattern is not None
    text = data.draw(st.from_regex(pattern))
    text = data.draw(st.sampled_from((text, text.upper(), text.swapcase())))

    assert not _matches(expression, text) or checks.unmet(expression.source, text) == []


def test_texts_grown_from_every_expression_open_its_gate() -> None:
    """
    No expression of a shipped rule is left out, and nearly all of them match some of the texts made for them.
    """
    random, quiet, hidden, count = Random(TIMES), [], [], 0  # noqa: S311 - the same texts each time
    for search in checks.searches(_shipped()).values():
        for number, expression in enumerate(search.expressions):
            texts = grown(expression.source, random, TIMES) if _read(expression.source) else []
            matched = [text for text in texts if number in LOCATOR.hits(search.exact, text)]
            hidden += [(expression.source, text) for text in matched if checks.unmet(expression.source, text)]
            quiet += [] if matched else [expression.source]
            count += 1

    assert hidden == []
    assert len(quiet) <= count // 10, quiet


def _seen(text: str) -> set[bytes]:
    """Return all that a text is looked at as."""
    field, everything = raw(text), range(len(TRIGGERS))
    views = [field, *(view for view, _ in made(field, everything, lambda _: everything))]
    return {view.data for view in views} | {candidate.data for view in views for candidate in candidates(view)}


def test_the_attacks_that_rules_are_tested_with_open_the_gates_of_what_finds_them() -> None:
    """
    Each expression that matches a form of a text of the tests finds the literals of its gate there.
    """
    found = checks.searches(_shipped())
    hidden = [
        (rule_id, search.expressions[number].source, data)
        for rule_id, search in found.items()
        if search.expressions
        for text in seeds.texts([search.rule])
        for data in _seen(text)
        for number in LOCATOR.hits(search.exact, data)
        if checks.unmet(search.expressions[number].source, data)
    ]

    assert hidden == []


@st.composite
def _changed(draw: st.DrawFn) -> str:
    """Draw a text of the tests with some signs left out, put in, doubled or in another letter case."""
    text = draw(st.sampled_from(seeds.texts(_shipped().rules)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(text)))
        to = min(len(text), at + draw(st.integers(0, 8)))
        put = draw(st.sampled_from(("", " ", "\n", "\t", "'", '"', "_", "x", "\u200b", text[at:to].swapcase())))
        text = text[:at] + put + text[to:]
    return text


@patient
@given(text=_changed(), tool=st.sampled_from(("", "os_shell", "sql_query", "bash")))
def test_no_gate_changes_a_verdict(text: str, tool: str) -> None:
    """
    The verdict is the one that every rule run over every view would give.
    """
    event = Event(timestamp="", user="", agent="", tool=tool, prompt=text, response=text)

    checks.check_gates(event, Scanner(_shipped()))


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (rb"(?:select|union)\s+\w+", b"a UNION b"),
        (rb"[;|&`]id\b", b"x |ID"),
        (rb"(?i)\bpasswd\b", b"PASSWD"),
        (b"(?x) drop \\s+ table  # a comment\n", b"Drop  Table"),
        (rb"(?:ab|cd){2}e", b"cdabe"),
        (rb"colou?rful\W+words", b"colorful, words"),
        (rb"^whoami$", b"whoami"),
        (rb"\\x41\x42lead", b"\\x41Blead"),
    ],
)
def test_literals_are_read_off_an_expression(expression: bytes, text: bytes) -> None:
    """
    Classes, alternatives, repeats, boundaries and comments are read as the engine reads them.
    """
    assert LOCATOR.hits(database((expression,), 1), text) == [0]
    assert checks.unmet(expression, text) == []
