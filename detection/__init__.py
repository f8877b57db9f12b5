"""The detection engine: an event in, a verdict out; pure, without I/O but reading rule packs."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detection.admission import SHIPPED_PACKS, load_rule_set
    from detection.compiler import RuleSet
    from detection.errors import DetectionError, RuleError, RuleErrors, Span
    from detection.event import Event
    from detection.finding import Finding
    from detection.probes import probes
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
    "probes",
]

_HOMES = {
    "admission": ("SHIPPED_PACKS", "load_rule_set"),
    "compiler": ("RuleSet",),
    "errors": ("DetectionError", "RuleError", "RuleErrors", "Span"),
    "event": ("Event",),
    "finding": ("Finding",),
    "probes": ("probes",),
    "rule": ("Action", "Confidence", "Rule", "Severity", "Status"),
    "scanner": ("Scanner",),
    "verdict": ("Outcome", "Verdict"),
}


def __getattr__(name: str) -> object:
    """Open the door on demand: most processes need an event and a severity, and only workers the compiler."""
    for home, names in _HOMES.items():
        if name in names:
            value: object = getattr(import_module(f"{__name__}.{home}"), name)
            globals()[name] = value
            return value
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
