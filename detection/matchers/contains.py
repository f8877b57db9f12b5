"""``contains``: the text stands somewhere in the field, in any letter case."""

from typing import ClassVar

from detection.matchers._base import TextMatcher, literal


class Contains(TextMatcher):
    """Finds a literal text."""

    name: ClassVar[str] = "contains"

    def problem(self, value: str | int) -> tuple[str, str] | None:
        """Refuse the empty text, which every field contains."""
        return None if value else ("matches-empty", "the empty text stands in every field")

    def expression(self, value: str) -> bytes:
        """Return the literal."""
        return literal(value)

    def width(self, value: str) -> int | None:
        """Return the length of the text; letters outside ASCII may have cases of other lengths."""
        return len(value) if value.isascii() else None

    def reason(self, value: str | int, means: str, text: str) -> str:  # noqa: ARG002 - the value says it all
        """Name the text."""
        return f'contains "{value}"'


MATCHER = Contains()
