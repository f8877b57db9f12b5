"""Locating: running databases over bytes, and finding out where in a text an expression matches."""

from collections import Counter
from math import log2
from re import compile as expression_of

import hyperscan

from detection.compiler import Search
from detection.databases import database
from detection.overrides import whole
from detection.views import encode

_REACH = 64
_MOST_SPANS = 1024
_TOKEN = expression_of(r"[A-Za-z0-9+/_=.~-]+")


class Locator:
    """Runs databases. One per thread: the engine's scratch can serve one scan at a time."""

    def __init__(self) -> None:
        self._scratch: dict[hyperscan.Database, hyperscan.Scratch] = {}

    def hits(self, searched: hyperscan.Database, data: bytes) -> list[int]:
        """Return the numbers of the expressions that match."""
        found: list[int] = []
        searched.scan(data, match_event_handler=_note, context=found, scratch=self._scratch_of(searched))
        return found

    def ends(self, searched: hyperscan.Database, data: bytes) -> list[tuple[int, int]]:
        """Return the numbers of the expressions that match, each with the end of its first match."""
        found: list[tuple[int, int]] = []
        searched.scan(data, match_event_handler=_note_end, context=found, scratch=self._scratch_of(searched))
        return found

    def first(self, search: Search, number: int, data: bytes) -> tuple[int, int]:
        """Find where an expression matches: the first end, then the last start from which it matches up to there.

        Every step is a scan in linear time, and the steps halve. What is found is a text that matches by itself.
        """
        end = self._end(search, number, data) or len(data)
        expression = search.expressions[number]
        width = expression.matcher.width(expression.value)
        start = self._last_start(search, number, data[:end]) if width is None else end - width
        return start, end

    def spans(self, places: hyperscan.Database, data: bytes) -> list[tuple[int, int]]:
        """Return matches from left to right, none overlapping another; the first thousand of them."""
        found: list[tuple[int, int]] = []
        places.scan(data, match_event_handler=_note_span, context=found, scratch=self._scratch_of(places))
        spans: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if spans and start < spans[-1][1]:
                spans[-1] = (min(start, spans[-1][0]), max(end, spans[-1][1]))
            elif len(spans) < _MOST_SPANS:
                spans.append((start, end))
        return spans

    def random_enough(self, places: hyperscan.Database, data: bytes, bits: float) -> tuple[int, int] | None:
        """Return the first match whose longest word is that hard to guess."""
        return next(
            (
                span
                for span in self.spans(places, data)
                if entropy(data[slice(*span)].decode("utf-8", "replace")) > bits
            ),
            None,
        )

    def is_like(self, pattern: str, text: str) -> bool:
        """Say whether a whole text, but for blanks around it, is what a pattern of an exception describes."""
        searched = database((whole(pattern),), hyperscan.HS_FLAG_CASELESS)
        return bool(self.hits(searched, encode(text.strip())))

    def _end(self, search: Search, number: int, data: bytes) -> int | None:
        """Return where the first match of an expression ends, None where there is none."""
        return next((end for found, end in self.ends(search.exact, data) if found == number), None)

    def _last_start(self, search: Search, number: int, data: bytes) -> int:
        """Return the last place from which an expression still matches up to the end of its first match."""
        end, reach = len(data), _REACH
        while reach < end and self._end(search, number, data[end - reach :]) is None:
            reach *= 2
        first, last = max(0, end - reach), end
        while last - first > 1:
            middle = (first + last) // 2
            if self._end(search, number, data[middle:]) is None:
                last = middle
            else:
                first = middle
        return first

    def _scratch_of(self, searched: hyperscan.Database) -> hyperscan.Scratch:
        if searched not in self._scratch:
            self._scratch[searched] = hyperscan.Scratch(searched)
        return self._scratch[searched]


def entropy(text: str) -> float:
    """Return the bits per character that the longest word of a text holds."""
    word = max(_TOKEN.findall(text), key=len, default="")
    return -sum(count / len(word) * log2(count / len(word)) for count in Counter(word).values())


def _note(identifier: int, _start: int, _end: int, _flags: int, hits: object) -> None:
    """Note that an expression matched."""
    hits.append(identifier)  # type: ignore[attr-defined]


def _note_end(identifier: int, _start: int, end: int, _flags: int, ends: object) -> None:
    """Note where an expression matched."""
    ends.append((identifier, end))  # type: ignore[attr-defined]


def _note_span(_identifier: int, start: int, end: int, _flags: int, spans: object) -> None:
    """Note a match; of several ends from one start the last counts."""
    if spans and spans[-1][0] == start:  # type: ignore[index]
        spans[-1] = (start, end)  # type: ignore[index]
    else:
        spans.append((start, end))  # type: ignore[attr-defined]
