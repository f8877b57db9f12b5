"""The admission gate: what a pack must be, and how its author is told what it is not."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from detection import RuleErrors, Scanner, load_rule_set
from tests.unit.detection.conftest import event

ERRORS = Path(__file__).parent / "errors"


@pytest.mark.parametrize("mistake", sorted(path.stem for path in ERRORS.glob("*.yaml")))
def test_a_mistake_is_told_with_its_place(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The pack named after a mistake gives exactly the diagnostics written beside it.
    """
    monkeypatch.chdir(ERRORS)

    with pytest.raises(RuleErrors) as caught:
        load_rule_set(Path(f"{mistake}.yaml"))

    assert f"{caught.value}\n" == Path(f"{mistake}.txt").read_text(encoding="utf-8")


def test_the_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    """
    Nobody has to mend one file to hear of the next.
    """
    for mistake in ("bad_yaml", "unknown_key", "failing_attack"):
        (tmp_path / f"{mistake}.yaml").write_bytes((ERRORS / f"{mistake}.yaml").read_bytes())

    with pytest.raises(RuleErrors) as caught:
        load_rule_set(tmp_path)

    # Both of the readable files use one id, which is a fourth mistake.
    assert [error.code for error in caught.value.errors] == ["bad-yaml", "failing-test", "duplicate-id", "unknown-key"]


@pytest.mark.parametrize(
    ("content", "label"),
    [(b"pack: \xff\n", "not UTF-8 at byte 6"), (b"[" * 100_000, "nested too deep")],
    ids=["bytes", "depth"],
)
def test_an_unreadable_file_is_a_diagnostic(tmp_path: Path, content: bytes, label: str) -> None:
    """
    A file that is no text, or too deep, is named like any other mistake.
    """
    (tmp_path / "pack.yaml").write_bytes(content)

    with pytest.raises(RuleErrors) as caught:
        load_rule_set(tmp_path)

    assert [error.label for error in caught.value.errors] == [label]


def test_a_folder_without_packs_is_a_mistake(tmp_path: Path) -> None:
    """
    A mistyped folder does not quietly turn detection off.
    """
    with pytest.raises(RuleErrors, match="no-packs"):
        load_rule_set(tmp_path)
    with pytest.raises(RuleErrors, match="unreadable-file"):
        load_rule_set(tmp_path / "missing.yaml")


def test_a_folder_that_cannot_be_listed_is_a_diagnostic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It is told like a file that cannot be read.
    """

    def forbidden(_: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "iterdir", forbidden)
    with pytest.raises(RuleErrors, match=r"unreadable-file\]: Permission denied"):
        load_rule_set(tmp_path)


def test_the_version_follows_the_meaning_and_not_the_writing(write_pack: Callable[..., Path]) -> None:
    """
    A comment or another order of keys changes nothing; another text to look for does.
    """
    first = load_rule_set(write_pack("{word: {contains: alpha}}", "alpha")).version
    commented = load_rule_set(
        write_pack("{word: {contains: [alpha]}}", "alpha", ("pack:", "# a comment\npack:"))
    ).version
    other = load_rule_set(write_pack("{word: {contains: alphas}}", "alphas")).version

    assert len(first) == 8
    assert int(first, 16) >= 0
    assert first == commented != other


@pytest.mark.parametrize(
    ("condition", "matching", "passing"),
    [
        ("any of them", ["alpha", "beta", "gamma"], ["delta"]),
        ("all of them", ["gamma beta alpha"], ["alpha beta"]),
        ("2 of them", ["alpha gamma"], ["beta"]),
        ("one and (two or three)", ["alpha beta", "gamma alpha"], ["alpha", "beta gamma"]),
        ("(one or two) and not three", ["alpha", "beta"], ["alpha gamma"]),
        ("1 of t* and one", ["alpha gamma"], ["alpha", "beta gamma"]),
        ("not three and one or two and three", ["alpha", "gamma beta"], ["alpha gamma", "beta"]),
    ],
)
def test_a_condition_says_which_matches_count(
    write_pack: Callable[..., Path], condition: str, matching: list[str], passing: list[str]
) -> None:
    """
    Counts, groups, and, or and not mean what they say, not before and before or.
    """
    patterns = "{one: {contains: alpha}, two: {contains: beta}, three: {contains: gamma}}"
    folder = write_pack(patterns, matching[0], ("    tests:", f"    condition: {condition}\n    tests:"))
    scanner = Scanner(load_rule_set(folder))

    assert all(scanner.scan(event(prompt=text)).findings for text in matching)
    assert not any(scanner.scan(event(prompt=text)).findings for text in passing)
