"""The console's line."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.receivers import Notification
from alerting.receivers.console import ConsoleReceiver, format_line, quote


def _notification(tool: str = "os_shell", user: str = "alice") -> Notification:
    return Notification(
        alert_id="0190b0a0-0000-8000-8000-000000000001",
        event_id="0190b0a0000070008000000000000000.0",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        severity="high",
        title="Dangerous tool",
        rule_ids=("dangerous-tool",),
        user=user,
        agent="ChatBot",
        tool=tool,
        url="http://127.0.0.1:8000/events/0190b0a0000070008000000000000000.0",
        source="http://127.0.0.1:8000",
        findings=(),
        findings_total=1,
    )


def test_the_line_says_what_matters() -> None:
    """One line names the severity, the title, the tool, the user, the page and the alert."""
    assert format_line(_notification()) == (
        'ALERT high "Dangerous tool" tool="os_shell" user="alice" '
        "http://127.0.0.1:8000/events/0190b0a0000070008000000000000000.0 0190b0a0-0000-8000-8000-000000000001"
    )


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("a\nALERT critical", '"a\\nALERT critical"'),
        ("\x1b[2Jgone", '"\\x1b[2Jgone"'),
        ("\x9b31m", '"\\x9b31m"'),
        ("a\u2028b\x85c", '"a\\u2028b\\x85c"'),
        ("\u202eecila", '"\\u202eecila"'),
        ("zero\u200bwidth", '"zero\\u200bwidth"'),
        ('a" user="root', '"a\\" user=\\"root"'),
        ("back\\slash", '"back\\\\slash"'),
        ("lone \ud800", '"lone \\ud800"'),
        ("käse 漢字 🙂", '"käse 漢字 🙂"'),
        ("x" * 500, f'"{"x" * 120}…"'),
        ("", '""'),
    ],
)
def test_hostile_text_cannot_leave_its_quotes(hostile: str, shown: str) -> None:
    """What could move the cursor, begin a line, reverse the text or end the quotes is shown as an escape."""
    assert shown == quote(hostile)


@given(st.text(st.characters()), st.text(st.characters()))
def test_any_event_makes_one_short_printable_line(tool: str, user: str) -> None:
    """No text makes the line break, unprintable, or longer than one write to a pipe keeps whole."""
    line = format_line(_notification(tool, user))

    assert line.isprintable()
    assert len(line.splitlines()) == 1
    assert len(line.encode()) < 4096


def test_the_line_reaches_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    """The receiver writes the line, and nothing else, to the process' standard output."""
    assert ConsoleReceiver().tell(_notification()) == "written"

    assert f"{format_line(_notification())}\n" == capfd.readouterr().out
