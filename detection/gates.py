r"""Gates: which literal texts must stand in a text for an expression to match it at all.

A scan for literals alone runs many times as fast as one for expressions. So every text is first scanned for the
literals that the expressions need, and most expressions are never run. What an expression needs is read off its own
parse: too little is asked rather than too much, so that a gate never hides a match.

A literal is written in small letters; ``\b`` in it is the boundary of a word. Which literals are rare enough to be
worth asking for is estimated from how often words stand in ordinary texts of 2.5 kB (``common.txt``: per mille of such
texts, and the word; counted once over public prompts, tool results, code and documents). It decides how fast a scan is,
never what it finds.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache, lru_cache
from itertools import product
from math import prod, sqrt
from pathlib import Path
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import msgspec

from detection.cache import keep, kept

Texts = frozenset[bytes]
"""Literals of which one must stand in the text, in any letter case."""

Gate = tuple[Texts, ...]
"""Clauses, all of which must be met; none where nothing is known that is rare enough."""

BOUNDARY = 0x08
"""What stands for the boundary of a word in a literal; a literal backspace is never asked for."""

_encoder = msgspec.msgpack.Encoder(order="deterministic")
_decoder = msgspec.msgpack.Decoder(list[Gate])
_EDGE = bytes([BOUNDARY])
_NOTHING: Texts = frozenset({b""})
_MOST_TEXTS, _MOST_CLASS, _LONGEST = 256, 8, 20
_COMMON = Path(__file__).parent / "common.txt"
_SELDOM, _ODD_SIGN, _MUCH = 0.004, 0.05, 1.5
OPENING = 60.0
"""Microseconds that it costs to open a rule for a text. It was found by trying: a rule that runs seldom finds nothing
of its database in the processor's caches."""

_CALL = 0.45
"""Microseconds that it costs to report one literal."""

_ALONE, _PER_SIGN, _ANCHORED = 0.3, 0.002, 0.1
"""Microseconds that it takes to run an expression over every text: one of no length, each sign more; one that is tied
to the beginning of the text, and so seldom runs far."""
# What the engine and the parser of Python read differently, or only one of them reads.
_FOREIGN = re.compile(rb"(?<!\\)(?:\\\\)*(?:\\[QEhHvVRNKGX]|\[:\^?\w+:\])")
_END = re.compile(rb"(?<!\\)((?:\\\\)*)\\z")
_PART = re.compile(rb"\x08?\w+\x08?|[^\w\x08]+")


def gates(expressions: tuple[bytes, ...]) -> Sequence[Gate]:
    """Return the gate of each expression."""
    if (found := kept("gates", expressions)) is not None:
        with suppress(msgspec.DecodeError, msgspec.ValidationError):
            return _decoder.decode(found)
    made = [gate(expression) for expression in expressions]
    keep(_encoder.encode(made), "gates", expressions)
    return made


@lru_cache(maxsize=8192)
def gate(expression: bytes) -> Gate:
    """Return clauses, one literal of each of which stands in any text that an expression matches.

    The rarest comes first, and others only where to look for them costs less than it saves. There are none where
    nothing is needed, or only what stands in so many texts that it costs less to run the expression over all of them.
    """
    if _FOREIGN.search(expression):
        return ()
    try:
        parsed = parser.parse(_END.sub(rb"\1\\Z", expression).decode("latin-1"))
    except (re.error, RecursionError, OverflowError):
        return ()
    exact, needs = _sequence(parsed)
    clauses = {_least(each) for each in ([exact] if exact is not None else needs) if _asks(each)}
    found: list[Texts] = []
    left, looking = 1.0, 0.0
    for clause in sorted(clauses, key=lambda clause: (likelihood(clause), sorted(clause))):
        likely = likelihood(clause)
        if OPENING * left * (1 - likely) > _CALL * likely:
            found.append(clause)
            left *= likely
            looking += _CALL * likely
    return tuple(found) if looking + OPENING * left < alone(expression) else ()


def alone(expression: bytes) -> float:
    """Return what it costs to run an expression over every text, about."""
    return _ANCHORED if expression.startswith((b"^", rb"\A")) else _ALONE + _PER_SIGN * len(expression)


def likelihood(clause: Iterable[bytes]) -> float:
    """Return in how many of all texts one of the literals stands, about."""
    return sum(map(_frequency, clause))


@cache
def _frequency(text: bytes) -> float:
    """Return in how many texts a literal stands: fewer than its rarest part, though parts often stand together."""
    rarest, *others = sorted(map(_frequency_of_part, _PART.findall(text))) or [1.0]
    return rarest * sqrt(prod(min(1.0, each) for each in others))


def _frequency_of_part(part: bytes) -> float:
    if not part.isascii():
        return _SELDOM
    blob, shares = _common()
    found, at = 0.0, blob.find(part)
    while at >= 0 and found < 1:
        found += shares[blob.count(b"\n", 0, at)]
        at = blob.find(part, blob.index(b"\n", at))
    word = part.strip(_EDGE)
    if word.isdigit():
        return 0.9 / 3.0 ** (len(word) - 1)
    return max(found, _SELDOM * 2.0 ** (4 - min(len(word), 8)) if word.isalnum() else _ODD_SIGN / 4 ** (len(word) - 1))


@cache
def _common() -> tuple[bytes, list[float]]:
    """Return the common words, one a line between boundaries, and how often each stands in a text."""
    words = [(word.encode(), share) for word, share in common_words()]
    lines = [_EDGE + word + _EDGE if word.isalnum() else word for word, _ in words]
    return b"\n".join(lines) + b"\n", [share for _, share in words]


@cache
def common_words() -> list[tuple[str, float]]:
    """Return words, and signs, that stand in many texts, with the share of the texts that hold each."""
    lines = [line.split(" ", 1) for line in _COMMON.read_text(encoding="ascii").splitlines()]
    return [(word, int(share) / 1000) for share, word in lines]


def _asks(texts: Texts) -> bool:
    """Say whether all of some texts are worth looking for."""
    return 0 < len(texts) <= _MOST_TEXTS and all(len(text.strip(_EDGE)) > 1 for text in texts)


def _least(texts: Texts) -> Texts:
    """Return the texts cut to a length that tells enough, without those that hold another.

    Boundaries stay only where they make a literal much rarer: without them more expressions share one.
    """
    short = {_plain(text[:_LONGEST]) for text in texts}
    return frozenset(text for text in short if not any(other != text and other in text for other in short))


@cache
def _plain(text: bytes) -> bytes:
    plain = text.strip(_EDGE)
    return plain if len(plain) > 1 and _frequency(plain) < _MUCH * _frequency(text) else text


_Parsed = tuple[Texts | None, list[Texts]]
"""All texts that a part of an expression matches, where they are few; and else what must stand in what it matches."""


def _sequence(items: Iterable[tuple[Any, Any]]) -> _Parsed:
    needs: list[Texts] = []
    run, whole = _NOTHING, True
    for code, argument in items:
        exact, inside = _item(code, argument)
        joined = None if exact is None else _join(run, exact)
        if joined is not None:
            run = joined
        else:
            needs += [_edged(run, right=_is_gap(code, argument)), *inside]
            whole = False
            run = _NOTHING if exact is None else exact
    if whole:
        return run, []
    needs.append(run)
    return None, [need for need in needs if need != _NOTHING]


def _edged(texts: Texts, *, right: bool) -> Texts:
    """Return texts that a sign follows which is no letter: their last words end there."""
    if not right:
        return texts
    return frozenset(text + _EDGE if text[-1:].isalnum() else text for text in texts)


def _is_gap(code: Any, argument: Any) -> bool:  # noqa: ANN401 - what the parser gives
    """Say whether an item is at least one sign that stands in no word."""
    if code in {op.MAX_REPEAT, op.MIN_REPEAT}:
        least, _, inside = argument
        return bool(least) and len(inside) == 1 and _is_gap(*inside[0])
    return code is op.IN and all(
        (kind is op.CATEGORY and value in {op.CATEGORY_SPACE, op.CATEGORY_NOT_WORD})
        or (kind is op.LITERAL and not (chr(value).isalnum() or value == ord("_")))
        for kind, value in argument
    )


def _join(left: Texts, right: Texts) -> Texts | None:
    if len(left) * len(right) > _MOST_TEXTS:
        return None
    joined = frozenset(one + other for one, other in product(left, right))
    return joined if max(map(len, joined)) <= 8 * _LONGEST else None


def _item(code: Any, argument: Any) -> _Parsed:  # noqa: ANN401, PLR0911 - what the parser gives
    if code is op.LITERAL:
        small = _small(argument)
        return (frozenset({small}) if small else None), []
    if code is op.IN:
        return _class(argument), []
    if code is op.AT:
        return frozenset({_EDGE}) if argument is op.AT_BOUNDARY else _NOTHING, []
    if code is op.SUBPATTERN:
        return _sequence(argument[3])
    if code is op.BRANCH:
        return _branch([_sequence(branch) for branch in argument[1]])
    if code in {op.MAX_REPEAT, op.MIN_REPEAT}:
        return _repeat(*argument)
    return None, []


def _repeat(least: int, most: Any, inside: Any) -> _Parsed:  # noqa: ANN401
    exact, needs = _sequence(inside)
    if (least, most) == (0, 1) and exact is not None:
        return exact | _NOTHING, []
    if least == 0:
        return None, []
    if exact is None:
        return None, needs
    if least == most:
        repeated: Texts | None = _NOTHING
        for _ in range(least):
            repeated = None if repeated is None else _join(repeated, exact)
        if repeated is not None:
            return repeated, []
    return None, [exact]


def _branch(branches: Sequence[_Parsed]) -> _Parsed:
    """Return what alternatives have in common: the texts of all, or the rarest clause of each."""
    if all(exact is not None for exact, _ in branches):
        union = frozenset(text for exact, _ in branches for text in exact or ())
        if len(union) <= _MOST_TEXTS:
            return union, []
    chosen: set[bytes] = set()
    for exact, needs in branches:
        useful = [each for each in ([exact] if exact is not None else needs) if _asks(each)]
        if not useful:
            return None, []
        chosen |= min(useful, key=lambda each: (likelihood(each), sorted(each)))
    return None, [frozenset(chosen)]


def _class(members: Sequence[tuple[Any, Any]]) -> Texts | None:
    """Return the characters of a class, where they are few."""
    found = set(_members(members))
    return frozenset(found) if 0 < len(found) <= _MOST_CLASS and b"" not in found else None


def _members(members: Sequence[tuple[Any, Any]]) -> Iterator[bytes]:
    """Give the characters of a class, and an empty text for what is no character."""
    for code, argument in members:
        if code is op.LITERAL:
            yield _small(argument)
        elif code is op.RANGE and argument[1] - argument[0] < _MOST_CLASS:
            yield from (_small(sign) for sign in range(argument[0], argument[1] + 1))
        else:
            yield b""


def _small(sign: int) -> bytes:
    """Return a character as literals are written; nothing for what would read as the boundary of a word."""
    return b"" if sign == BOUNDARY else bytes([sign]).lower()
