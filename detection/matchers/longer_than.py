"""``longer_than``: the field has more code points than that."""

from typing import ClassVar

from detection.matchers._base import FieldMatcher


class LongerThan(FieldMatcher):
    """Measures the field."""

    name: ClassVar[str] = "longer_than"
    value_type: ClassVar[type[str] | type[int]] = int

    def problem(self, value: str | int) -> tuple[str, str] | None:
        """Refuse a bound that no length, or every length, is above."""
        return None if int(value) >= 0 else ("bad-value", "no length is below zero")

    def holds(self, value: str | int, text: str) -> bool:
        """Compare the length."""
        return len(text) > int(value)

    def reason(self, value: str | int, means: str, text: str) -> str:  # noqa: ARG002 - the numbers say it all
        """Name both numbers."""
        return f"is {len(text):,} characters long, more than {int(value):,}"


MATCHER = LongerThan()
