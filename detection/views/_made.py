"""Which views a text calls for. Most call for none, and that is found out at almost no cost."""

import re
from collections.abc import Callable, Iterator

import hyperscan

from detection.databases import database
from detection.views._decoders import base64_runs, entities, escapes, hex_runs, percent, tags
from detection.views._normalise import normalised
from detection.views._view import View

NAMES = ("raw", "normalised", "percent", "html", "escapes", "base64", "hex")
"""The names that views have."""

_DEPTH = 2
_TIMES, _FREE = 4, 4096
_SHORTEST_RUN = 16
_PERCENT = re.compile(r"%(?:[0-9a-fA-F]{2}|[uU][0-9a-fA-F]{4})")
_ENTITY = re.compile(r"&(?:#[0-9xX]|[A-Za-z][A-Za-z0-9]{1,31};)")
_ESCAPE = re.compile(r"\\[nrtuUx0-3\"'`/]")
_COMMENT = re.compile(r"\S/\*|\*/[^\s)]|/\*!")
# In order: letters and digits mixed as base64 mixes them, or in a long run; letters that fold or look like others,
# invisible characters, typographic marks, compatible forms; tag characters; hexadecimal digits of printable ASCII.
_RUN, _ODD, _TAG, _DIGITS = 0, 1, 2, 3
_TRIGGERS = (
    (
        rb"(?:[A-Z0-9]{1,5}[a-z]{1,4}){4}|[a-z][A-Z0-9]{0,4}[0-9][A-Z0-9]{0,4}[a-z]{1,5}[A-Z]"
        rb"|[A-Za-z0-9+/]{60}"
    ),
    (
        rb"\xc3[\x80-\x9e]|\xc2[\x80-\xad]|[\xc4-\xcf][\x80-\xbf]|\xd0[\x80-\xaf\xb0\xb5\xbe]"
        rb"|\xd1[\x80\x81\x83\x85\x95\x96\x98]|\xd2[\xae\xba\xbb]|\xd3[\x8f]|\xd4[\x80\x81\x9a-\x9d]"
        rb"|\xe1[\x84\x85\x9a\xa0\xb4-\xbf]|\xe2[\x80-\x85\x88\x91-\x93\xa0]|\xe3[\x80\x85\x88-\x8f]"
        rb"|\xea[\x9c-\x9f]|\xef[\xac-\xbf]|\xf0\x9d|\xf0\x9f[\x84-\x87]|\xf3"
    ),
    rb"\xf3\xa0[\x80\x81]",
    rb"(?:[2-7][0-9A-Fa-f]){8}",
)
_DECODERS: dict[str, Callable[[View], View | None]] = {
    "percent": percent,
    "html": entities,
    "escapes": escapes,
    "tags": tags,
    "base64": base64_runs,
    "hex": hex_runs,
    "normalised": normalised,
}


class _Triggers:
    """The cheap questions. One per thread, for the engine's scratch can serve one scan at a time."""

    def __init__(self) -> None:
        self._database = database(_TRIGGERS, hyperscan.HS_FLAG_DOTALL)
        self._scratch = hyperscan.Scratch(self._database)

    def ask(self, view: View) -> list[str]:
        """Return the decoders that the text calls for."""
        text = view.text
        asked: list[str] = []
        if len(text) >= _SHORTEST_RUN or not text.isascii():
            hits: list[int] = []
            self._database.scan(view.data, match_event_handler=_note, context=hits, scratch=self._scratch)
            if _ODD in hits:
                asked.append("normalised")
            if _TAG in hits:
                asked.append("tags")
            if _RUN in hits:
                asked.append("base64")
            if _DIGITS in hits:
                asked.append("hex")
        if "/*" in text and "normalised" not in asked and _COMMENT.search(text):
            asked.append("normalised")
        if "%" in text and _PERCENT.search(text):
            asked.append("percent")
        if "&" in text and _ENTITY.search(text):
            asked.append("html")
        if "\\" in text and _ESCAPE.search(text):
            asked.append("escapes")
        return asked


class Views:
    """Makes the views of texts. One per thread."""

    def __init__(self) -> None:
        self._triggers = _Triggers()

    def of(self, field: View) -> Iterator[View]:
        """Give every other view that the field calls for; no more of them than a few times its length."""
        left = _TIMES * len(field.text) + _FREE
        seen = {field.text}
        layer = [field]
        for depth in range(_DEPTH + 1):
            made: list[View] = []
            for view in layer:
                for name in self._triggers.ask(view):
                    # The last round only puts what was decoded twice into one writing.
                    if depth == _DEPTH and name != "normalised":
                        continue
                    other = _DECODERS[name](view)
                    if other is None or other.text in seen:
                        continue
                    left -= len(other.text)
                    if left < 0:
                        return
                    seen.add(other.text)
                    made.append(other)
                    yield other
            layer = [view for view in made if view.name != "normalised"]
            if not layer:
                return


def _note(identifier: int, _start: int, _end: int, _flags: int, hits: object) -> None:
    hits.append(identifier)  # type: ignore[attr-defined]
