"""``equals``: the whole field is the text, in any letter case; blanks and control characters around it do not count."""

from typing import ClassVar

from detection.matchers._base import TextMatcher, literal

# A blank that no one sees must not make another name of it. In order: ASCII blanks and controls; no-break space;
# spaces, zero-width and direction marks, separators; word joiner; wide space; byte order mark.
_BLANK = (
    rb"(?:[\x00-\x20\x7f]|\xc2[\x80-\xa0]|\xe2\x80[\x80-\x8f\xa8-\xaf]|\xe2\x81[\x9f-\xaf]|\xe3\x80\x80|\xef\xbb\xbf)*"
)


class Equals(TextMatcher):
    """Compares the whole field."""

    name: ClassVar[str] = "equals"

    def problem(self, value: str | int) -> tuple[str, str] | None:
        """Refuse a text that the comparison could never be equal to."""
        if not str(value).strip():
            return "matches-empty", "an empty text would match every empty field"
        if value != str(value).strip():
            return "surrounding-blanks", "blanks around the field are ignored, so they cannot be asked for"
        return None

    def expression(self, value: str) -> bytes:
        """Return the literal between the ends of the field."""
        return rb"\A" + _BLANK + literal(value) + _BLANK + rb"\z"

    def narrow(self, text: str, start: int, end: int) -> tuple[int, int]:
        """Leave out the blanks around the name."""
        while start < end and _is_blank(text[start]):
            start += 1
        while end > start and _is_blank(text[end - 1]):
            end -= 1
        return start, end

    def reason(self, value: str | int, means: str, text: str) -> str:  # noqa: ARG002 - the value says it all
        """Name the text."""
        return f'is "{value}"'


def _is_blank(character: str) -> bool:
    """Say whether a character is one that the comparison ignores at the ends."""
    return character.isspace() or not character.isprintable()


MATCHER = Equals()
