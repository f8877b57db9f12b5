"""The commands that need no server."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from detection.cli import rules_app, scan

EVENT = {"timestamp": "2026-01-01T00:00:00Z", "user": "u", "agent": "a", "tool": "t", "prompt": "p", "response": "r"}
ERRORS = Path(__file__).parent / "errors"

app = typer.Typer()
app.command()(scan)
app.add_typer(rules_app, name="rules")


def _line(**changes: object) -> str:
    return json.dumps({**EVENT, **changes})


def test_scan_gives_one_verdict_a_line_in_order(tmp_path: Path) -> None:
    """
    Verdicts come in the order of the events, blank lines and unknown members do not count.
    """
    file = tmp_path / "events.ndjson"
    lines = [_line(), "", _line(tool="os_shell", extra=[1]), _line(prompt="\x00 sudo é", metadata={"k": 1})]
    file.write_text("\ufeff" + "\n".join(lines), encoding="utf-8")

    result = CliRunner().invoke(app, ["scan", str(file)])

    verdicts = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert [verdict["severity"] for verdict in verdicts] == [None, "high", "informational"]
    assert [set(verdict) for verdict in verdicts] == [{"outcome", "severity", "findings"}] * 3


def test_scan_reads_standard_input() -> None:
    """
    A dash, or no file at all, is standard input.
    """
    for arguments in (["scan"], ["scan", "-"]):
        result = CliRunner().invoke(app, arguments, input=_line(prompt="delete all") + "\n")

        assert result.exit_code == 0
        assert json.loads(result.stdout)["findings"][0]["rule_id"] == "keyword-delete-all"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "truncated"),
        ("[]", "Expected `object`"),
        (json.dumps({"user": "u"}), "missing required field `timestamp`"),
        (_line(prompt=3), "Expected `str`, got `int` - at `$.prompt`"),
        (_line(response=None), "Expected `str`, got `null` - at `$.response`"),
    ],
)
def test_a_bad_line_names_itself(tmp_path: Path, line: str, reason: str) -> None:
    """
    Unusable input ends the scan with status 2, the file, the line and the reason; what came before it was judged.
    """
    file = tmp_path / "events.ndjson"
    file.write_text(f"{_line()}\n{line}\n{_line()}\n", encoding="utf-8")

    result = CliRunner().invoke(app, ["scan", str(file)])

    assert result.exit_code == 2
    assert result.stderr.startswith(f"{file}:2: ")
    assert reason in result.stderr
    assert len(result.stdout.splitlines()) == 1


def test_bytes_that_are_no_text_are_unusable(tmp_path: Path) -> None:
    """
    A line that is not UTF-8 is named too, and so is a file that is not there.
    """
    file = tmp_path / "events.ndjson"
    file.write_bytes(_line().encode() + b"\n" + _line().encode().replace(b'"p"', b'"\xff"'))

    result = CliRunner().invoke(app, ["scan", str(file)])
    missing = CliRunner().invoke(app, ["scan", str(tmp_path / "none.ndjson")])

    assert (result.exit_code, missing.exit_code) == (2, 2)
    assert result.stderr.startswith(f"{file}:2: ")
    assert "none.ndjson: No such file" in missing.stderr


def test_scan_with_other_packs_uses_those_instead(tmp_path: Path) -> None:
    """
    A rule author's folder takes the place of the shipped rules; a broken one is unusable input.
    """
    good = (ERRORS / "failing_attack.yaml").read_text(encoding="utf-8").replace("hidden word", "secret word")
    (tmp_path / "pack.yaml").write_text(good, encoding="utf-8")
    events = _line(prompt="my Secret Word") + "\n" + _line(tool="os_shell")

    result = CliRunner().invoke(app, ["scan", "--packs", str(tmp_path)], input=events)
    broken = CliRunner().invoke(app, ["scan", "--packs", str(ERRORS)], input=events)

    rules = [[finding["rule_id"] for finding in json.loads(line)["findings"]] for line in result.stdout.splitlines()]
    assert (result.exit_code, rules) == (0, [["example"], []])
    assert (broken.exit_code, broken.stdout) == (2, "")


def test_check_tells_what_is_wrong_on_standard_error() -> None:
    """
    Good packs exit 0; mistakes go to standard error, all of them, with status 1.
    """
    good = CliRunner().invoke(app, ["rules", "check"])
    bad = CliRunner().invoke(app, ["rules", "check", str(ERRORS / "several_at_once.yaml")])

    assert (good.exit_code, good.stderr) == (0, "")
    assert (bad.exit_code, bad.stdout) == (1, "")
    assert bad.stderr.count("error[") == len((ERRORS / "several_at_once.txt").read_text().splitlines())


def test_rules_are_listed_and_their_tests_counted() -> None:
    """
    The list names every rule with its severity; the tests say how many they were.
    """
    listed = CliRunner().invoke(app, ["rules", "list"])
    tried = CliRunner().invoke(app, ["rules", "test"])
    failing = CliRunner().invoke(app, ["rules", "test", str(ERRORS / "failing_benign_twin.yaml")])

    assert any(line.split()[::2][:2] == ["high", "dangerous-tool"] for line in listed.stdout.splitlines())
    assert "all as expected" in tried.stdout
    assert "attacks and" in tried.stdout
    assert failing.exit_code == 1
    assert "matches this benign twin" in failing.stderr
