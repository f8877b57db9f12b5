"""Views: forms of a field's text that are scanned. Matches always point back into the field as the client sent it."""

from detection.views._candidates import AFTER, BEFORE, candidates
from detection.views._made import NAMES, TRIGGERS, made
from detection.views._pieces import LONGEST, SHARED, pieces
from detection.views._view import RUNS, View, encode, raw

__all__ = [
    "AFTER",
    "BEFORE",
    "LONGEST",
    "NAMES",
    "RUNS",
    "SHARED",
    "TRIGGERS",
    "View",
    "candidates",
    "encode",
    "made",
    "pieces",
    "raw",
]
