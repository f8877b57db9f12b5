"""Texts that an expression matches, grown from its own parse: fast enough for every expression of every rule."""

import re
from collections.abc import Iterable
from random import Random
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

_SIGNS = bytes(range(256))
_USUAL = b" \n\"'=/.-_aezAEZ059"
_FEW = 4


def grown(expression: bytes, random: Random, times: int) -> list[bytes]:
    """Return texts that an expression is likely to match; boundaries of words may come out wrong.

    Raises:
        re.error: Python cannot read the expression.
    """
    parsed = parser.parse(expression.replace(rb"\z", rb"\Z").decode("latin-1"))
    return [_all(parsed, random) for _ in range(times)]


def _all(items: Iterable[tuple[Any, Any]], random: Random) -> bytes:
    return b"".join(_one(code, argument, random) for code, argument in items)


def _one(code: Any, argument: Any, random: Random) -> bytes:
    if code is op.LITERAL:
        sign = bytes([argument])
        return random.choice((sign.lower(), sign.upper()))
    if code is op.SUBPATTERN:
        return _all(argument[3], random)
    if code is op.BRANCH:
        return _all(random.choice(argument[1]), random)
    if code in {op.MAX_REPEAT, op.MIN_REPEAT}:
        least, most, inside = argument
        times = random.randint(least, min(int(most), least + random.choice((0, 1, _FEW))))
        return b"".join(_all(inside, random) for _ in range(times))
    if code is op.AT:
        return b""
    # A class, a sign that is none of them, or any sign: asked of the engine of Python, sign by sign.
    return random.choice(_members(code, argument, random))


def _members(code: Any, argument: Any, random: Random) -> list[bytes]:
    if code is op.IN:
        fits = [bytes([sign]) for sign in _SIGNS if _within(sign, argument)]
    elif code is op.NOT_LITERAL:
        fits = [bytes([sign]) for sign in _SIGNS if sign != argument]
    else:
        fits = [bytes([sign]) for sign in _SIGNS if sign != ord("\n")]
    usual = [sign for sign in fits if sign in _USUAL]
    return usual if usual and random.random() < 0.9 else fits


_CATEGORIES = {
    op.CATEGORY_SPACE: re.compile(rb"\s"),
    op.CATEGORY_NOT_SPACE: re.compile(rb"\S"),
    op.CATEGORY_WORD: re.compile(rb"\w"),
    op.CATEGORY_NOT_WORD: re.compile(rb"\W"),
    op.CATEGORY_DIGIT: re.compile(rb"\d"),
    op.CATEGORY_NOT_DIGIT: re.compile(rb"\D"),
}


def _within(sign: int, members: Iterable[tuple[Any, Any]]) -> bool:
    """Say whether a sign is in a class."""
    negated = found = False
    for code, argument in members:
        if code is op.NEGATE:
            negated = True
        elif code is op.LITERAL:
            found |= sign == argument
        elif code is op.RANGE:
            found |= argument[0] <= sign <= argument[1]
        else:
            found |= _CATEGORIES[argument].match(bytes([sign])) is not None
    return found != negated
