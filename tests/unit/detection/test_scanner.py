"""A scan says which field, where, and why; and judges by the worst."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from detection import Finding, Outcome, RuleSet, Scanner, Severity, load_rule_set
from detection.finding import EXCERPT_LENGTH
from tests.unit.detection.conftest import Judge, event


def _only(findings: tuple[Finding, ...]) -> Finding:
    (finding,) = findings
    return finding


@pytest.mark.parametrize("before", ["", "plain ", "é ", "日本 ", "😀😀 ", "\ud800 ", "\x00 ", "a\u0301 ", "é" * 500])
def test_offsets_are_code_points_of_the_field_as_sent(judge: Judge, before: str) -> None:
    """
    Whatever bytes stand before a match, its start and end slice the field to the match.
    """
    text = f"{before}Delete All of it"
    finding = _only(judge(prompt=text).findings)

    assert text[finding.start : finding.end] == "Delete All"
    assert finding.start == len(before)
    assert "Delete All" in finding.excerpt


def test_a_match_that_ends_inside_a_character_takes_all_of_it(write_pack: Callable[..., Path]) -> None:
    """
    Patterns work on bytes, and still no finding cuts a character in two.
    """
    folder = write_pack("{any: {regex: 'key=..', means: a key}}", "key=ab")
    text = "é key=日本"
    finding = _only(Scanner(load_rule_set(folder)).scan(event(prompt=text)).findings)

    assert text[finding.start : finding.end] == "key=日"


def test_letters_outside_ascii_have_two_cases_too(write_pack: Callable[..., Path]) -> None:
    """
    A literal is found in any letter case in every script that has cases.
    """
    folder = write_pack("{word: {contains: löschen}}", "Bitte LÖSCHEN")
    finding = _only(Scanner(load_rule_set(folder)).scan(event(prompt="Alles LöSCHEN!")).findings)

    assert (finding.start, finding.end) == (6, 13)


def test_an_excerpt_is_bounded_and_holds_the_match(judge: Judge) -> None:
    """
    The excerpt of a long field is a short slice of it around the match.
    """
    text = "ab " * 500 + "sudo" + " cd" * 300
    finding = next(found for found in judge(response=text).findings if found.rule_id == "keyword-sudo")

    assert len(finding.excerpt) <= EXCERPT_LENGTH
    assert "sudo" in finding.excerpt
    assert finding.excerpt in text


def test_the_first_place_is_the_one_that_is_told(judge: Judge) -> None:
    """
    A rule gives one finding per field, for its first match.
    """
    finding = _only(judge(prompt="sudo and sudo and sudo").findings)

    assert (finding.start, finding.end) == (0, 4)


def test_reasons_are_sentences(judge: Judge) -> None:
    """
    A person reads which field it is and what is wrong with it.
    """
    assert _only(judge(prompt="delete all").findings).reason == 'prompt contains "delete all"'
    assert _only(judge(tool="os_shell").findings).reason == 'tool is "os_shell"'
    assert _only(judge(response="x' and sleep(3)").findings).reason == "response holds a delay inside a SQL condition"


def test_the_worst_finding_decides(judge: Judge) -> None:
    """
    The verdict has the highest severity among its findings, and lists that one first.
    """
    verdict = judge(tool="os_shell", prompt="sudo su", response="x" * 5001)

    assert verdict.outcome is Outcome.FLAGGED
    assert verdict.severity is Severity.HIGH
    assert [finding.rule_id for finding in verdict.findings] == ["dangerous-tool", "keyword-sudo", "long-response"]


def test_a_clean_event_has_no_severity(judge: Judge, shipped: RuleSet) -> None:
    """
    Without findings there is nothing to grade, and the verdict still names the rule set.
    """
    verdict = judge(prompt="hello", response="hi")

    assert (verdict.outcome, verdict.severity, verdict.findings) == (Outcome.CLEAN, None, ())
    assert verdict.rule_set == shipped.version


def test_fields_are_judged_apart(write_pack: Callable[..., Path]) -> None:
    """
    A condition must hold within one field; half of it in each of two is nothing.
    """
    patterns = "{one: {contains: alpha}, two: {contains: beta}}"
    folder = write_pack(
        patterns,
        "alpha beta",
        ("fields: [prompt]", "fields: [prompt, response]\n    condition: one and two"),
    )
    scanner = Scanner(load_rule_set(folder))

    assert not scanner.scan(event(prompt="alpha", response="beta")).findings
    assert scanner.scan(event(prompt="beta alpha")).findings


def test_threads_share_a_rule_set(shipped: RuleSet) -> None:
    """
    Each thread has a scanner of its own over the same rules, and none disturbs another.
    """
    events = [event(prompt=f"sudo {number} ' or 1=1 --" + "x" * number) for number in range(300)]

    def scan_all(_: int) -> list[list[tuple[str, int | None]]]:
        scanner = Scanner(shipped)
        return [[(found.rule_id, found.start) for found in scanner.scan(event).findings] for event in events]

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(scan_all, range(4))

    assert all(other == first for other in others)


def test_a_verdict_is_written_as_the_interface_says(judge: Judge) -> None:
    """
    Names instead of numbers, and every member of a finding.
    """
    document = judge(tool="os_shell").as_dict()

    assert (document["outcome"], document["severity"]) == ("flagged", "high")
    assert document["findings"][0] == {
        "rule_id": "dangerous-tool",
        "title": "Direct shell access",
        "severity": "high",
        "confidence": "high",
        "field": "tool",
        "start": 0,
        "end": 8,
        "excerpt": "os_shell",
        "view": "raw",
        "reason": 'tool is "os_shell"',
        "tags": {
            "owasp_llm": ["LLM06:2025"],
            "owasp_agentic": ["ASI02:2026"],
            "owasp_mcp": ["MCP05:2025"],
            "atlas": ["AML.T0053"],
        },
    }
