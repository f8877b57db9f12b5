"""Whatever the text: a scan gives a verdict, and every finding points at what it claims."""

from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from detection import Event, Finding, RuleSet, Scanner, load_rule_set
from detection.databases import database
from detection.finding import EXCERPT_LENGTH
from detection.matchers import TextMatcher, matchers
from detection.rule import Rule
from detection.views import encode

FRAGMENTS = (
    *("os_shell", "delete all", "ignore instructions", "export database", "shell", "SUDO", "<script>", "<System>"),
    *("' or 1=1 --", " union select null,", "'; drop table x --", "x' and sleep(5)", "admin'--", "load_file("),
    *("; rm -rf /", "$(curl ", "`id`", "| bash", "/dev/tcp/1/2", "<img onerror=alert(1)>", "javascript:alert(1)"),
    *("é", "日本", "😀", "\ud800", "\udfff", "\x00", "\n", " ", "'", '"', "<", "(", ";", "/*", "*/", "%20"),
)
hostile = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(st.characters(), max_size=20)), max_size=12).map(
    "".join
)


@cache
def _shipped() -> RuleSet:
    """Return the shipped rules; not a fixture, whose parts would be printed with every failure."""
    return load_rule_set()


def _matches_by_itself(rule: Rule, text: str) -> bool:
    """Say whether any pattern of the rule matches a text that stands alone."""
    hits: list[int] = []
    for pattern in rule.patterns:
        matcher = matchers()[pattern.matcher]
        if isinstance(matcher, TextMatcher):
            expressions = tuple(matcher.expression(str(value)) for value in pattern.values)
            database(expressions, matcher.flags).scan(
                encode(text), match_event_handler=lambda identifier, *_: hits.append(identifier)
            )
    return bool(hits)


def _check(finding: Finding, event: Event, rule: Rule) -> None:
    """Compare a finding with the event it is about."""
    text = getattr(event, finding.field)
    assert len(finding.excerpt) <= EXCERPT_LENGTH
    assert finding.excerpt in text
    if finding.start is None or finding.end is None:
        assert finding.end is None
        assert rule.id.startswith("long-")
        return
    assert 0 <= finding.start < finding.end <= len(text)
    matched = text[finding.start : finding.end]
    if finding.view == "raw" and all(pattern.on == "text" for pattern in rule.patterns):
        assert _matches_by_itself(rule, matched)
    assert matched[:EXCERPT_LENGTH] in finding.excerpt


@settings(deadline=None)  # the first examples also compile the rules
@given(tool=hostile, prompt=hostile, response=hostile)
def test_every_text_gets_a_verdict_whose_findings_hold(tool: str, prompt: str, response: str) -> None:
    """
    No text makes a scan fail, and start and end slice the field to a text that the rule matches by itself.
    """
    event = Event(timestamp="", user=prompt, agent=response, tool=tool, prompt=prompt, response=response)
    rules = {rule.id: rule for rule in _shipped().rules}

    verdict = Scanner(_shipped()).scan(event)

    for finding in verdict.findings:
        _check(finding, event, rules[finding.rule_id])
