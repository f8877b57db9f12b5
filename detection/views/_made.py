"""Which views a text calls for. Most call for none, and the scan for the gates of the rules finds that out as well."""

from collections.abc import Callable, Iterator, Sequence

from detection.views._decoders import base64_runs, entities, escapes, hex_runs, percent, tags
from detection.views._normalise import normalised
from detection.views._view import View

NAMES = ("raw", "normalised", "percent", "html", "escapes", "base64", "hex")
"""The names that views have."""

_DEPTH = 2
_TIMES, _FREE = 6, 4096

# What calls for each decoder. Normalising: letters that fold or look like others, invisible characters, typographic
# marks, compatible forms; comments inside SQL.
_CALLS: tuple[tuple[bytes, Callable[[View], View | None]], ...] = (
    (rb"%(?:[0-9a-f]{2}|u[0-9a-f]{4})", percent),
    (rb"&(?:#[0-9x]|[a-z][a-z0-9]{1,31};)", entities),
    (rb"\\[nrtux0-3\"'`/]", escapes),
    (rb"\xf3\xa0[\x80\x81]", tags),
    (rb"[A-Za-z0-9]{20}", base64_runs),
    (rb"(?:[2-7][0-9a-f]){8}", hex_runs),
    (
        (
            rb"(?-i:\xc3[\x80-\x9e]|\xc2[\x80-\xad\xba\xbb]|[\xc4-\xcf][\x80-\xbf]|\xd0[\x80-\xaf\xb0\xb5\xbe]"
            rb"|\xd1[\x80\x81\x83\x85\x95\x96\x98\xb4]|\xd2[\x83-\x89\xae\xba\xbb]|\xd3[\x80\x8f]|\xd4[\x80\x81\x9a-\x9d]"
            rb"|\xe1(?:[\x84\x85\x9a\xa0\xab\xb2\xb4-\xbf]|\xaa[\xb0-\xbf])|\xe2[\x80-\x85\x88\x91-\x93\xa0\xb1]"
            rb"|\xe3[\x80\x85\x88-\x8f]|\xea(?:\x99[\xaf-\xbd]|[\x9c-\x9f])|\xef[\xac-\xbf]"
            rb"|\xf0(?:\x90\x9e|\x9d|\x9f[\x84-\x87\xaf])|\xf3)|[^\s]/\*|\*/[^\s)]"
        ),
        normalised,
    ),
)

TRIGGERS = tuple(source for source, _ in _CALLS)
"""Expressions that say which views a text calls for; the last calls for the normalised one."""


def made(
    field: View, hits: Sequence[int], scan: Callable[[View], Sequence[int]]
) -> Iterator[tuple[View, Sequence[int]]]:
    """Give every other view that a field calls for, with its hits; no more of them than a few times its length.

    Args:
        field: the field as it was sent.
        hits: which triggers it holds, by their positions; other numbers are passed over.
        scan: returns the same for another view.
    """
    left = _TIMES * len(field.text) + _FREE
    seen = {field.text}
    layer = [(field, hits)]
    for depth in range(_DEPTH + 1):
        following: list[tuple[View, Sequence[int]]] = []
        for view, held in layer:
            for call in sorted({hit for hit in held if hit < len(_CALLS)}):
                decode = _CALLS[call][1]
                # The last round only puts what was decoded twice into one writing.
                if depth == _DEPTH and decode is not normalised:
                    continue
                other = decode(view)
                if other is None or other.text in seen:
                    continue
                if len(other.text) > left:
                    continue
                left -= len(other.text)
                seen.add(other.text)
                found = scan(other)
                yield other, found
                if decode is not normalised:
                    following.append((other, found))
        if not following:
            return
        layer = following
