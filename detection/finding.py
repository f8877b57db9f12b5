"""The finding: a rule that matched one field of one event, with its evidence."""

from collections.abc import Mapping
from typing import Any

import msgspec

from detection.rule import Severity

EXCERPT_LENGTH = 120
_LEAD = 40


class Finding(msgspec.Struct, frozen=True):
    """Which rule matched, where and why.

    ``start`` and ``end`` count code points of the field as the client sent it; they are None, and the excerpt empty,
    where the finding is about the field as a whole.
    """

    rule_id: str
    title: str
    severity: Severity
    confidence: str
    field: str
    start: int | None
    end: int | None
    excerpt: str
    view: str
    reason: str
    tags: Mapping[str, list[str]]

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as the interface writes it, the severity by its name."""
        return {**msgspec.structs.asdict(self), "severity": self.severity.label, "tags": dict(self.tags)}


def lowered(finding: Finding, severity: Severity) -> Finding:
    """Return the finding for what is only quoted: of that severity, and with a reason that says so."""
    return msgspec.structs.replace(
        finding, severity=severity, reason=f"{finding.reason}, quoted in a text about attacks"
    )


def excerpt(text: str, start: int, end: int) -> str:
    """Return a bounded slice of the text that begins shortly before the match and holds as much of it as fits."""
    lead = max(0, min(_LEAD, EXCERPT_LENGTH - (end - start)))
    first = max(0, start - lead)
    return text[first : first + EXCERPT_LENGTH]
