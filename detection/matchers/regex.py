"""``regex``: a regular expression of the linear-time engine, in byte mode, in any letter case."""

from typing import ClassVar

import hyperscan

from detection.databases import database
from detection.matchers._base import TextMatcher


class Regex(TextMatcher):
    """Finds an expression."""

    name: ClassVar[str] = "regex"

    def problem(self, value: str | int) -> tuple[str, str] | None:
        """Refuse what matches the empty text, cannot be run, or would mean something else in bytes."""
        source = str(value)
        if not source.isascii():
            return "non-ascii-regex", "expressions run on bytes: write other letters as \\xNN, or use contains"
        try:
            database((source.encode(),), self.flags)
        except hyperscan.error as error:
            if "matches empty buffer" in str(error):
                return "matches-empty", "the expression matches the empty text"
            return "refused-pattern", str(error)
        return None

    def expression(self, value: str) -> bytes:
        """Return it as it is."""
        return value.encode()

    def reason(self, value: str | int, means: str, text: str) -> str:  # noqa: ARG002 - expressions are not for people
        """Say what the expression means."""
        return f"holds {means}"


MATCHER = Regex()
