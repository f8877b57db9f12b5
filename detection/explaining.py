"""Explaining a verdict: which views were made of a text, what was hit in each, and why it is a finding or is none."""

from collections.abc import Iterator

from detection.event import Event
from detection.rule import FIELDS
from detection.scanner import Look, Scanner
from detection.search import Expression, Measure

_SHOWN = 100


def explain(scanner: Scanner, event: Event) -> Iterator[str]:
    """Give the explanation, line by line."""
    verdict = scanner.scan(event)
    found = {(finding.rule_id, finding.field): finding for finding in verdict.findings}
    for look in scanner.looks(event):
        yield f"{look.field}, {look.view.name}: {_shown(look.view.text)}"
        for rule_id, lines in _hits(look).items():
            finding = found.get((rule_id, look.field))
            said = "no finding" if finding is None else f"finding, {finding.severity.label}"
            yield f"  {rule_id} ({said})"
            yield from (f"    {line}" for line in lines)
            if finding is None:
                yield f"    {_why_not(look, rule_id, event)}"
    yield f"verdict: {verdict.outcome.value}" + ("" if verdict.severity is None else f", {verdict.severity.label}")
    for finding in verdict.findings:
        place = "" if finding.start is None else f" at {finding.start}-{finding.end} in the view {finding.view}"
        yield f"  {finding.rule_id}: {finding.reason}{place}"


def _hits(look: Look) -> dict[str, list[str]]:
    """Return what was hit in a view, by rule."""
    lines: dict[str, list[str]] = {}
    for part in _parts(look):
        target = " (to be confirmed in a candidate)" if isinstance(part, Expression) and part.of_candidate else ""
        value = _shown(str(part.value))
        lines.setdefault(part.rule.id, []).append(f"{part.pattern.name}: {part.pattern.matcher} {value}{target}")
    return lines


def _parts(look: Look) -> Iterator[Expression | Measure]:
    yield from look.expressions
    yield from look.measures


def _why_not(look: Look, rule_id: str, event: Event) -> str:
    """Return why hits of a rule are not a finding."""
    rule = next(part.rule for part in _parts(look) if part.rule.id == rule_id)
    if look.field in FIELDS and look.field not in rule.fields:
        return f"the rule looks only at {', '.join(rule.fields)}"
    if rule.views and look.view.name not in rule.views:
        return f"the rule looks only at {', '.join(rule.views)}"
    if rule.tools is not None and not rule.tools.include(event.tool):
        return f"the rule is not about the tool {event.tool!r}"
    return f"not confirmed, excepted, or the condition does not hold: {rule.condition_text}"


def _shown(text: str) -> str:
    """Return the beginning of a text on one line, so that any terminal can show it."""
    line = ascii(text) if not text.isprintable() else text
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
