"""A text with the way back to the text that it was made from."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter

_ENCODING = "utf-8"
# JSON lets lone surrogates through. This keeps each one code point; a replacement would let "?" in a pattern match it.
_ERRORS = "surrogatepass"
_MARK_BITS, _CONTINUATION = 0xC0, 0x80

RUNS = frozenset({"base64", "hex"})
"""The views that hold what was decoded of single runs, one a line."""

WHOLE = 0
"""The step of a run whose characters cannot be told apart in the source: each stands for all of it."""


def encode(text: str) -> bytes:
    """Return the bytes that the patterns see; every text has them."""
    return text.encode(_ENCODING, _ERRORS)


def continues(byte: int) -> bool:
    """Say whether a byte is not the first of its character."""
    return byte & _MARK_BITS == _CONTINUATION


Run = tuple[int, int, int, int]
"""Neighbouring characters of a view that were made alike: where they begin, where in the source what they were made
from begins and ends, and how many characters of it each stands for (the step)."""


@dataclass(slots=True, eq=False)
class View:
    """A form of the field: the field itself, something made from another view, or a part cut out of one."""

    name: str
    text: str
    data: bytes
    runs: Sequence[Run] = ()
    source: "View | None" = None
    remake: "Callable[[View], View | None] | None" = None
    """How to make it again with its runs, which a text that nothing is found in never needs."""

    whole: "View | None" = None
    """Of what it is a piece."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the code points of the field that the bytes from ``start`` to ``end`` of this view belong to."""
        first, last = self.points(start, end)
        view = self
        while view.source is not None:
            first, last = view._back(first, last)
            view = view.source
        return first, last

    def field(self) -> str:
        """Return the field as it was sent."""
        view = self
        while view.source is not None:
            view = view.source
        return view.text

    def part(self, start: int, end: int) -> "View":
        """Return a part of this view, as a view."""
        text = self.text[start:end]
        return View(self.name, text, encode(text), ((0, start, end, 1),), self)

    def edges(self) -> tuple[bool, bool]:
        """Say whether this begins where the field does, and whether it ends there: a piece may not."""
        view = self
        while view.whole is None and view.source is not None:
            # What was decoded of one run has ends of its own.
            if view.name in RUNS:
                return True, True
            view = view.source
        if view.whole is None:
            return True, True
        (_, first, last, _), *_ = view.runs
        return first == 0, last == len(view.whole.text)

    def points(self, start: int, end: int) -> tuple[int, int]:
        """Return the code points of this view, not of the field, that some of its bytes belong to."""
        if len(self.data) == len(self.text):
            return start, end
        # Patterns work on bytes, and may begin or end inside a character: take all of it.
        while self._continues(start):
            start -= 1
        while self._continues(end):
            end += 1
        first = len(self.data[:start].decode(_ENCODING, _ERRORS))
        return first, first + len(self.data[start:end].decode(_ENCODING, _ERRORS))

    def _continues(self, offset: int) -> bool:
        """Say whether the byte there is not the first of its character."""
        return offset < len(self.data) and continues(self.data[offset])

    def _back(self, start: int, end: int) -> tuple[int, int]:
        """Return where code points of this view come from in its source."""
        first = self._origin(start)[0]
        return first, max(first, self._origin(max(start, end - 1))[1])

    def _origin(self, point: int) -> tuple[int, int]:
        """Return the code points of the source that one code point of this view stands for."""
        if not self.runs and self.remake is not None and self.source is not None:
            again = self.remake(self.source)
            self.runs = () if again is None else again.runs
        if not self.runs:
            return 0, 0
        at, start, end, step = self.runs[max(0, bisect_right(self.runs, point, key=_AT) - 1)]
        if step == WHOLE:
            return start, end
        first = min(start + (point - at) * step, end)
        return first, min(first + step, end)


def raw(text: str) -> View:
    """Return the field as it was sent."""
    return View("raw", text, encode(text))


_AT = itemgetter(0)


class Builder:
    """Puts a view together from left to right."""

    def __init__(self, name: str, source: View) -> None:
        self._name = name
        self._source = source
        self._parts: list[str] = []
        self._runs: list[Run] = []
        self._length = 0

    def keep(self, start: int, end: int) -> None:
        """Take over a part of the source as it is."""
        if start < end:
            self.put(self._source.text[start:end], start, end, 1)

    def put(self, text: str, start: int, end: int, step: int = WHOLE) -> None:
        """Add a text that stands for a part of the source."""
        if text:
            self._parts.append(text)
            self._runs.append((self._length, start, end, step))
            self._length += len(text)

    def blank(self, start: int, end: int) -> None:
        """Add a blank that stands for a part of the source, unless there is one already."""
        if not self._parts or self._parts[-1][-1] != " ":
            self.put(" ", start, end)

    def view(self) -> View | None:
        """Return the view, or None where it is the source again."""
        text = "".join(self._parts)
        if not text or text == self._source.text:
            return None
        return View(self._name, text, encode(text), self._runs, self._source)
