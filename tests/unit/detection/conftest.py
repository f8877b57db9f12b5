"""What the tests of the engine share: the shipped rules, and a short way to judge an event."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from detection import SHIPPED_PACKS, Event, RuleSet, Scanner, Verdict, load_rule_set
from tests.packs import pack

Judge = Callable[..., Verdict]

_BLANK = Event(timestamp="2026-01-01T00:00:00Z", user="", agent="", tool="", prompt="", response="")


def event(**fields: str) -> Event:
    """Return an event of the fields given, the others being empty."""
    return msgspec.structs.replace(_BLANK, **fields)


@pytest.fixture(scope="session")
def shipped() -> RuleSet:
    """Return the rules of the pack that the seeds of the product ask for."""
    return load_rule_set(SHIPPED_PACKS / "baseline.yaml")


@pytest.fixture(scope="session")
def judge(shipped: RuleSet) -> Judge:
    """Return a function that judges an event of the fields given, the others being empty."""
    scanner = Scanner(shipped)
    return lambda **fields: scanner.scan(event(**fields))


@pytest.fixture
def write_pack(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a pack of one rule with these patterns, and returns its folder."""

    def write(patterns: str, attack: str, *changes: tuple[str, str]) -> Path:
        text = pack(patterns, attack)
        for before, after in changes:
            assert before in text
            text = text.replace(before, after, 1)
        (tmp_path / "example.yaml").write_text(text, encoding="utf-8")
        return tmp_path

    return write
