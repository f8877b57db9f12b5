"""The verdict: what the engine says of one event."""

from enum import StrEnum
from typing import Any

import msgspec

from detection.finding import Finding
from detection.rule import Severity


class Outcome(StrEnum):
    """The verdict in one word."""

    CLEAN = "clean"
    FLAGGED = "flagged"


class Verdict(msgspec.Struct, frozen=True):
    """The findings of one event, the worst first; none at all is a clean verdict."""

    findings: tuple[Finding, ...]
    severity: Severity | None
    outcome: Outcome
    rule_set: str

    @classmethod
    def of(cls, findings: tuple[Finding, ...], rule_set: str) -> "Verdict":
        """Judge by the findings: any makes the event flagged, the highest severity is the verdict's own."""
        severity = max((finding.severity for finding in findings), default=None)
        outcome = Outcome.CLEAN if severity is None else Outcome.FLAGGED
        return cls(findings, severity, outcome, rule_set)

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as the command line writes it."""
        return {
            "outcome": self.outcome.value,
            "severity": None if self.severity is None else self.severity.label,
            "findings": [finding.as_dict() for finding in self.findings],
        }
