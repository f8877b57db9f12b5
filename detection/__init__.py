"""The detection engine: an event in, a verdict out; pure, without I/O but reading rule packs."""

from detection.admission import SHIPPED_PACKS, load_rule_set
from detection.compiler import RuleSet
from detection.errors import DetectionError, RuleError, RuleErrors, Span
from detection.event import Event
from detection.finding import Finding
from detection.rule import Action, Confidence, Rule, Severity, Status
from detection.scanner import Scanner
from detection.verdict import Outcome, Verdict

__all__ = [
    "SHIPPED_PACKS",
    "Action",
    "Confidence",
    "DetectionError",
    "Event",
    "Finding",
    "Outcome",
    "Rule",
    "RuleError",
    "RuleErrors",
    "RuleSet",
    "Scanner",
    "Severity",
    "Span",
    "Status",
    "Verdict",
    "load_rule_set",
]
