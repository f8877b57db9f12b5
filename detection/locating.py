"""Locating: where in a text an expression matches, which the big database cannot tell. It is asked after a hit only."""

from collections import Counter
from math import log2
from re import compile as expression_of
from typing import Any

import hyperscan

from detection.compiler import Expression
from detection.databases import database
from detection.views import View, encode

_REACH = 64
_MOST_SPANS = 1024
_TOKEN = expression_of(r"[A-Za-z0-9+/_=.~-]+")


class Locator:
    """Finds matches. One per thread: the engine's scratch can serve one scan at a time."""

    def __init__(self) -> None:
        self._scratch: dict[hyperscan.Database, hyperscan.Scratch] = {}

    def end(self, expression: Expression, data: bytes) -> int | None:
        """Return where the first match of an expression ends, None where there is none."""
        ends: list[int] = []
        self._scan(expression.locator, data, _note_end, ends)
        return ends[0] if ends else None

    def first(self, expression: Expression, view: View) -> tuple[int, int]:
        """Find where an expression matches: the first end, then the last start from which it matches up to there.

        Every step is a scan in linear time, and the steps halve. What is found is a text that matches by itself.
        """
        data = view.data
        end = self.end(expression, data) or len(data)
        width = expression.matcher.width(expression.value)
        start = self._last_start(expression, data, end) if width is None else end - width
        return start, end

    def spans(self, expression: Expression, data: bytes) -> list[tuple[int, int]]:
        """Return matches from left to right, none overlapping another; the first thousand of them."""
        found: list[tuple[int, int]] = []
        every = database((expression.source,), expression.matcher.flags, every=True)
        self._scan(every, data, _note_span, found)
        spans: list[tuple[int, int]] = []
        for start, end in found:
            if spans and start < spans[-1][1]:
                spans[-1] = (min(start, spans[-1][0]), max(end, spans[-1][1]))
            elif len(spans) < _MOST_SPANS:
                spans.append((start, end))
        return spans

    def random_enough(self, expression: Expression, data: bytes, bits: float) -> tuple[int, int] | None:
        """Return the first match whose longest word is that hard to guess."""
        return next(
            (
                span
                for span in self.spans(expression, data)
                if entropy(data[slice(*span)].decode("utf-8", "replace")) > bits
            ),
            None,
        )

    def is_like(self, pattern: str, text: str) -> bool:
        """Say whether a whole text, but for blanks around it, is what a pattern of an exception describes."""
        ends: list[int] = []
        whole = database((rf"\A(?:{pattern})\z".encode(),), hyperscan.HS_FLAG_CASELESS)
        self._scan(whole, encode(text.strip()), _note_end, ends)
        return bool(ends)

    def _last_start(self, expression: Expression, data: bytes, end: int) -> int:
        """Return the last place from which an expression still matches up to the end of its first match."""
        reach = _REACH
        while reach < end and self.end(expression, data[end - reach : end]) is None:
            reach *= 2
        first, last = max(0, end - reach), end
        while last - first > 1:
            middle = (first + last) // 2
            if self.end(expression, data[middle:end]) is None:
                last = middle
            else:
                first = middle
        return first

    def _scan(self, locator: hyperscan.Database, data: bytes, note: Any, context: object) -> None:  # noqa: ANN401 - a callback of the engine
        if locator not in self._scratch:
            self._scratch[locator] = hyperscan.Scratch(locator)
        locator.scan(data, match_event_handler=note, context=context, scratch=self._scratch[locator])


def entropy(text: str) -> float:
    """Return the bits per character that the longest word of a text holds."""
    word = max(_TOKEN.findall(text), key=len, default="")
    return -sum(count / len(word) * log2(count / len(word)) for count in Counter(word).values())


def _note_end(_identifier: int, _start: int, end: int, _flags: int, ends: object) -> None:
    """Note where an expression matched."""
    ends.append(end)  # type: ignore[attr-defined]


def _note_span(_identifier: int, start: int, end: int, _flags: int, spans: object) -> None:
    """Note a match; of several ends from one start the last counts."""
    if spans and spans[-1][0] == start:  # type: ignore[index]
        spans[-1] = (start, end)  # type: ignore[index]
    else:
        spans.append((start, end))  # type: ignore[attr-defined]
