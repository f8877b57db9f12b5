"""Hostile text, shown: escaped, with what hides in it made visible, and with the matched parts marked."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from markupsafe import Markup, escape

from detection import Finding

_CONTROLS = [
    "NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "BEL", "BS", "HT", "LF", "VT", "FF", "CR", "SO", "SI",
    "DLE", "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB", "ESC", "FS", "GS", "RS", "US",
]  # fmt: skip
_NAMES = dict(enumerate(_CONTROLS)) | {
    0x7F: "DEL",
    0x061C: "ALM",
    0x00AD: "SHY",
    0x200B: "ZWSP",
    0x200C: "ZWNJ",
    0x200D: "ZWJ",
    0x200E: "LRM",
    0x200F: "RLM",
    0x2028: "LSEP",
    0x2029: "PSEP",
    0x202A: "LRE",
    0x202B: "RLE",
    0x202C: "PDF",
    0x202D: "LRO",
    0x202E: "RLO",
    0x2060: "WJ",
    0x2066: "LRI",
    0x2067: "RLI",
    0x2068: "FSI",
    0x2069: "PDI",
    0xFEFF: "BOM",
}
_HIDDEN = re.compile(
    "\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
# A megabyte of control characters would otherwise become fifty megabytes of markup.
_LABELLED = 2_000
_HEAD, _TAIL, _AROUND, _WORTH_FOLDING = 1_600, 400, 320, 600
_MARK_EDGE = 2_000
_BESIDE, _LONGEST = 60, 400


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a field, folded away or not."""

    markup: Markup
    characters: int
    folded: bool


def label(character: str) -> str:
    """Return what stands on the page for a character that cannot be seen."""
    return _NAMES.get(ord(character)) or f"U+{ord(character):04X}"


def _labelled(found: re.Match[str]) -> str:
    character = found[0]
    title = f"U+{ord(character):04X} {unicodedata.name(character, 'control character')}"
    return f'<span class="hidden-char" title="{title}">{label(character)}</span>'


def visible(text: str) -> Markup:
    """Escape a text and show the characters in it that cannot be seen, or that turn the reading direction."""
    shown = _HIDDEN.sub(_labelled, str(escape(text)), count=_LABELLED)
    return Markup(plain(shown))  # noqa: S704 - escaped above; the pattern finds nothing in the labels themselves


def plain(text: str, limit: int | None = None) -> str:
    """Return a text, or how it begins, with names in place of the characters that cannot be seen; it is not escaped."""
    return _HIDDEN.sub(lambda found: f"⟨{label(found[0])}⟩", text[:limit])


def one_line(text: str, limit: int = 160) -> Markup:
    """Show how a text begins, on one line."""
    begins = " ".join(text[: 2 * limit].split())
    return visible(begins[:limit] + ("…" if len(begins) > limit or len(text) > 2 * limit else ""))


def pieces(text: str, findings: Iterable[Finding]) -> list[Piece]:
    """Return a field's whole text with the findings' spans marked, far from them folded away when it is long."""
    spans = [span for finding in findings if (span := _span(finding, len(text)))]
    windows = list(_windows(len(text), spans))
    return [Piece(_marked(text, start, end, spans), end - start, folded) for start, end, folded in windows]


def around(text: str, finding: Finding) -> Markup | None:
    """Show what a finding matched, with a little of what stands around it; None where it is about the whole field."""
    span = _span(finding, len(text))
    if span is None:
        return None
    start, end = span[:2]
    first, last = max(0, start - _BESIDE), min(len(text), end + _BESIDE, start + _LONGEST)
    shown = _marked(text, first, last, [span])
    return Markup("{}{}{}").format("…" * (first > 0), shown, "…" * (last < len(text)))


def _span(finding: Finding, length: int) -> tuple[int, int, Finding] | None:
    if finding.start is None or finding.end is None:
        return None
    start, end = max(0, min(finding.start, length)), max(0, min(finding.end, length))
    return (start, end, finding) if start < end else None


def _windows(length: int, spans: Sequence[tuple[int, int, Finding]]) -> Iterator[tuple[int, int, bool]]:
    """Cut ``0 … length`` into stretches: (start, end, folded)."""
    wanted = [(0, _HEAD), (length - _TAIL, length)]
    for start, end, _ in spans:
        edge = min(end - start, _MARK_EDGE)
        wanted += [(start - _AROUND, start + edge + _AROUND), (end - edge - _AROUND, end + _AROUND)]
    reached = 0
    open_from = 0
    for start, end in sorted((max(0, start), min(length, end)) for start, end in wanted):
        if start - reached > _WORTH_FOLDING:
            yield open_from, reached, False
            yield reached, start, True
            open_from = start
        reached = max(reached, end)
    yield open_from, length, False


def _marked(text: str, start: int, end: int, spans: Sequence[tuple[int, int, Finding]]) -> Markup:
    inside = [(max(a, start), min(b, end), finding) for a, b, finding in spans if a < end and b > start]
    cuts = sorted({start, end, *(a for a, _, _ in inside), *(b for _, b, _ in inside)})
    return Markup("").join(_stretch(text, a, b, inside) for a, b in pairwise(cuts))


def _stretch(text: str, start: int, end: int, spans: Sequence[tuple[int, int, Finding]]) -> Markup:
    shown = visible(text[start:end])
    over = [finding for a, b, finding in spans if a <= start and end <= b]
    if not over:
        return shown
    worst = max(over, key=lambda finding: finding.severity)
    titles = "; ".join(dict.fromkeys(finding.title for finding in islice(over, 8)))
    return Markup('<mark class="severity-{}" title="{}">{}</mark>').format(worst.severity.label, titles, shown)
