"""The commands about rules."""

from pathlib import Path

import typer
from typer.testing import CliRunner

from detection.cli import rules_app

ERRORS = Path(__file__).parent / "errors"

app = typer.Typer()
app.add_typer(rules_app, name="rules")


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
