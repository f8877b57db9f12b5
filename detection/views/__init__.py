"""Views: forms of a field's text that are scanned. Matches always point back into the field as the client sent it."""

from detection.views._candidates import AFTER, BEFORE, candidates
from detection.views._made import NAMES, Views
from detection.views._view import View, encode, raw

__all__ = ["AFTER", "BEFORE", "NAMES", "View", "Views", "candidates", "encode", "raw"]
