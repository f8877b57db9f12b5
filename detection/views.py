"""Views: forms of a field's text that are scanned. Matches always point back into the field as the client sent it."""

from dataclasses import dataclass

_ENCODING = "utf-8"
# JSON lets lone surrogates through. This keeps each one code point; a replacement would let "?" in a pattern match it.
_ERRORS = "surrogatepass"
_MARK_BITS, _CONTINUATION = 0xC0, 0x80


def encode(text: str) -> bytes:
    """Return the bytes that the patterns see; every text has them."""
    return text.encode(_ENCODING, _ERRORS)


@dataclass(frozen=True, slots=True)
class RawView:
    """The field as it was sent."""

    text: str
    data: bytes
    name: str = "raw"

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the code points of the field that the bytes from ``start`` to ``end`` belong to."""
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
        return offset < len(self.data) and self.data[offset] & _MARK_BITS == _CONTINUATION
