"""Candidates: the values that stand in a text, where ``^`` and ``$`` of a pattern mean the ends of one value."""

import re
from collections.abc import Iterator

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
_SHORT = 4096
_DEPTH = 2
_MOST = 4096


def candidates(view: View) -> Iterator[View]:
    """Give the values in a view: JSON strings, quoted spans, query values, lines, and all of a short text.

    What was encoded inside a value is decoded, and cut again.
    """
    seen: set[str] = set()
    for depth, candidate in _cut(view, 0):
        text = candidate.text
        if text in seen:
            continue
        seen.add(text)
        yield candidate
        if len(seen) >= _MOST:
            return
        for decoded in _decoded(candidate):
            if decoded.text not in seen:
                seen.add(decoded.text)
                yield from (inner for _, inner in _cut(decoded, depth + 1))


def _cut(view: View, depth: int) -> Iterator[tuple[int, View]]:
    """Give the values that stand in a view as it is."""
    text = view.text
    if len(text) <= _SHORT:
        yield from _trimmed(view, 0, len(text), depth)
    if depth >= _DEPTH:
        return
    for way in _WAYS:
        for match in way.finditer(text):
            group = match.lastindex or 0
            yield from _trimmed(view, *match.span(group), depth)


def _trimmed(view: View, start: int, end: int, depth: int) -> Iterator[tuple[int, View]]:
    """Give a part of a view without the blanks around it."""
    inside = view.text[start:end]
    left = len(inside) - len(inside.lstrip())
    kept = len(inside.strip())
    if kept:
        yield depth, view.part(start + left, start + left + kept)


def _decoded(candidate: View) -> Iterator[View]:
    """Give what is inside a value when its escapes are undone."""
    text = candidate.text
    for sign, decode in (("\\", escapes), ("%", percent), ("&", entities)):
        if sign in text and (decoded := decode(candidate)) is not None:
            yield decoded
