"""Pieces: a long text is judged a piece at a time, and what stands in one part of it costs nothing in the others."""

from collections.abc import Sequence
from dataclasses import replace

from detection.views._view import View

LONGEST, SHARED = 16_384, 2_048
"""How many code points a piece has at most, and how many it shares with the next: no match may be longer to be sure to
be found."""


def pieces(field: View) -> Sequence[View]:
    """Return a field itself where it is short, or else its pieces, which begin and end where lines or words do."""
    text = field.text
    if len(text) <= LONGEST or len(text.strip()) <= LONGEST:
        return (field,)
    found: list[View] = []
    start = 0
    while start + LONGEST < len(text):
        end = _gap(text, start + LONGEST)
        found.append(_piece(field, start, end))
        start = _gap(text, end - SHARED)
    return (*found, _piece(field, start, len(text)))


def _piece(field: View, start: int, end: int) -> View:
    return replace(field.part(start, end), whole=field)


def _gap(text: str, near: int) -> int:
    """Return where a line ends shortly before a place, or else a word, or else the place itself."""
    first = near - SHARED // 2
    if line := text.rfind("\n", first, near) + 1:
        return line
    return next((at for at in range(near, first, -1) if text[at - 1].isspace()), near)
