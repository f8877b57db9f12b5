"""Candidates: the values that stand in a text, where ``^`` and ``$`` of a pattern mean the ends of one value."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from detection.views._decoders import entities, escapes, percent
from detection.views._view import View

BEFORE = rb"(?:^|[\n\r\"'`=:&?;,#>(\[|]|\xe2\x80[\x98-\x9f])\s*"
AFTER = rb"\s*(?:$|[\n\r\"'`&<]|\xe2\x80[\x98-\x9f])"
"""What stands around a candidate wherever one can be cut: in place of its ends they find texts worth cutting."""

# One that is never closed takes the rest, so that it is read once.
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)(?:"|\\?\Z)', re.DOTALL)
_CURLY = re.compile("[\u201c\u2018]([^\u201c\u201d\u2018\u2019]*)[\u201d\u2019]")
_SINGLE = re.compile(r"'([^'\n]*)'(?!\w)")
_BACKTICK = re.compile(r"`([^`]+)`")
_QUERY = re.compile(r"[?&;\s][\w.\-\[\]%]{1,64}=([^&\r\n]+)|^[\w.\-\[\]%]{1,64}=([^&\r\n]+)")
_LINE = re.compile(r"[^\r\n]+")
_LABELLED = re.compile(r"^[^\r\n:]{1,64}:\s+([^\r\n]+)", re.MULTILINE)
_WAYS = (_DOUBLE, _SINGLE, _QUERY, _LINE, _LABELLED, _BACKTICK, _CURLY)
_QUOTES = {_DOUBLE: '"', _SINGLE: "'", _BACKTICK: "`"}
_SHORT = 4096
_MOST = 4096
"""How many values are cut out of a view, and texts decoded in them: each costs time for each rule that looks there."""


def candidates(view: View) -> Iterator[View]:
    """Give the values in a view: JSON strings, quoted spans, query values, lines, and all of a short text.

    What was encoded inside a value is decoded, and cut again. Of equal values the first is given.
    """
    given: set[str] = set()
    opened: set[str] = set()
    cut: set[str] = set()
    for value in _cut(view):
        if value.text in opened:
            continue
        opened.add(value.text)
        yield from _new([value], given)
        if len(opened) + len(cut) >= _MOST:
            return
        for decoded in _decoded(value):
            if decoded.text not in cut:
                cut.add(decoded.text)
                yield from _new(_cut(decoded), given)


def _new(values: Iterable[View], given: set[str]) -> Iterator[View]:
    """Give the values that were not given before."""
    for value in values:
        if value.text not in given:
            given.add(value.text)
            yield value


def _cut(view: View) -> Iterator[View]:
    """Give the values that stand in a view as it is."""
    text = view.text
    if len(text) <= _SHORT:
        yield from _trimmed(view, 0, len(text))
    begins, _ = view.edges()
    for way in _WAYS:
        sign = _QUOTES.get(way)
        # A piece may begin inside quotes, and then those that open there are the closing ones.
        starts = [0] if begins or sign is None else sorted({0, text.find(sign) + 1})
        for match in chain.from_iterable(way.finditer(text, start) for start in starts):
            group = match.lastindex or 0
            yield from _trimmed(view, *match.span(group))


def _trimmed(view: View, start: int, end: int) -> Iterator[View]:
    """Give a part of a view without the blanks around it."""
    inside = view.text[start:end]
    left = len(inside) - len(inside.lstrip())
    kept = len(inside.strip())
    if kept:
        yield view.part(start + left, start + left + kept)


def _decoded(candidate: View) -> Iterator[View]:
    """Give what is inside a value when its escapes are undone."""
    text = candidate.text
    for sign, decode in (("\\", escapes), ("%", percent), ("&", entities)):
        if sign in text and (decoded := decode(candidate)) is not None:
            yield decoded
