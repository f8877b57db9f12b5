"""``regex``: a regular expression of the linear-time engine, in byte mode, in any letter case."""

from typing import ClassVar

from detection.matchers._base import TextMatcher


class Regex(TextMatcher):
    """Finds an expression."""

    name: ClassVar[str] = "regex"

    def problem(self, value: str | int) -> tuple[str, str] | None:
        """Refuse what would mean something else in bytes; what the engine refuses comes out when it is compiled."""
        if not str(value).isascii():
            return "non-ascii-regex", "expressions run on bytes: write other letters as \\xNN, or use contains"
        return None

    def expression(self, value: str) -> bytes:
        """Return it as it is."""
        return value.encode()

    def reason(self, value: str | int, means: str, text: str) -> str:  # noqa: ARG002 - expressions are not for people
        """Say what the expression means."""
        return f"holds {means}"


MATCHER = Regex()
