"""In how many ordinary texts expressions match: what waits for a rare one is seldom run."""

from collections.abc import Sequence
from contextlib import suppress
from functools import cache

import hyperscan
import msgspec

from detection.cache import keep, kept
from detection.databases import database
from detection.stream import events

_EVENTS = 150
_decoder = msgspec.json.Decoder(list[float])


def shares(expressions: tuple[bytes, ...], flags: int) -> Sequence[float]:
    """Return the share of ordinary texts that each expression matches in, counted on the pinned stream.

    Raises:
        hyperscan.error: the engine refuses an expression; it does not say which.
    """
    if (found := kept("shares", expressions, flags)) is not None:
        with suppress(msgspec.DecodeError, msgspec.ValidationError):
            return _decoder.decode(found)
    searched, counts = database(expressions, flags), [0] * len(expressions)
    scratch = hyperscan.Scratch(searched)
    for text in _texts():
        searched.scan(text, _count, 0, counts, scratch)
    made = [count / len(_texts()) for count in counts]
    keep(msgspec.json.encode(made), "shares", expressions, flags)
    return made


def _count(identifier: int, _start: int, _end: int, _flags: int, counts: object) -> None:
    """Count a text that an expression matches in."""
    counts[identifier] += 1  # type: ignore[index]


@cache
def _texts() -> Sequence[bytes]:
    return [text.encode() for event in events(_EVENTS) for text in (event.prompt, event.response)]
