"""A rule waits for what is rare in ordinary texts, and finds the same."""

from collections.abc import Callable
from pathlib import Path

import pytest

from detection import Scanner, load_rule_set
from detection.matchers import TextMatcher
from detection.search import search_of
from detection.shares import shares
from tests.unit.detection.conftest import event

_PLACE, _RARE = "[a-z][,.:] [a-z]", "[qxz]{3}[0-9][!~]"
_BOTH = f"{{place: {{regex: '{_PLACE}', means: a sign between words}}, rare: {{regex: '{_RARE}', means: odd signs}}}}"


def test_expressions_are_counted_in_ordinary_texts() -> None:
    """
    Sentences stand in many texts, an odd sequence of signs in none.
    """
    often, never = shares((_PLACE.encode(), _RARE.encode()), TextMatcher.flags)
    assert (0.3 < often <= 1, never) == (True, 0)


@pytest.mark.parametrize(
    ("condition", "openers"),
    [("place and rare", {"rare"}), ("rare and place", {"rare"}), ("place or rare", {"place", "rare"})],
)
def test_the_rarest_pattern_opens_a_rule(write_pack: Callable[..., Path], condition: str, openers: set[str]) -> None:
    """
    Where a condition needs several patterns, only the one that ordinary texts lack is looked for in every text.
    """
    fields = ("fields: [prompt]", f"fields: [prompt]\n    condition: {condition}")
    rules = load_rule_set(write_pack(_BOTH, "'some, words and qxz7!'", fields))
    (rule,) = rules.rules

    assert {opener.pattern for opener in search_of(rule).gates} == openers
    found = [
        bool(Scanner(rules).scan(event(prompt=text)).findings) for text in ("two, words", "qxz7!", "two, words qxz7!")
    ]
    assert found == ([False, False, True] if "and" in condition else [True, True, True])
