"""Compiled databases on disk."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from detection import Event, Scanner, load_rule_set
from detection.cache import cached_in, keep, kept
from detection.databases import _made, database

_ATTACK = Event("2024-01-15T14:30:00Z", "alice", "ChatBot", "os_shell", "Tell the Kingfisher 7 of us", "")
_DAY = 86_400
_DAMAGES = 3

Find = Callable[[Path | None], list[str]]


@pytest.fixture
def findings(write_pack: Callable[..., Path]) -> Find:
    """Return a function that loads rules as a process does at its start, and judges an attack by them."""
    bird, beast = r"{regex: 'kingfisher\s+\d', means: a bird}", r"{regex: 'w[ao]lrus\b', means: a beast}"
    packs = write_pack(f"{{bird: {bird}, beast: {beast}, word: {{contains: tell the}}}}", "walrus")

    def find(cache: Path | None) -> list[str]:
        _made.cache_clear()
        rules = load_rule_set(packs, cache=cache)
        return [finding.rule_id for finding in Scanner(rules).scan(_ATTACK).findings]

    return find


def test_kept_databases_find_what_fresh_ones_find(tmp_path: Path, findings: Find) -> None:
    """
    The second start reads what the first compiled, and judges alike.
    """
    fresh = findings(None)

    first, second = findings(tmp_path), findings(tmp_path)

    assert fresh == first == second != []
    assert len(list(tmp_path.glob("*.hs"))) >= _DAMAGES


def test_a_broken_database_is_compiled_again(tmp_path: Path, findings: Find) -> None:
    """
    Bytes that were damaged, cut short or emptied are recognised and replaced.
    """
    expected = findings(tmp_path)
    for number, path in enumerate(sorted(tmp_path.glob("*.hs"))):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes((bytes(data), data[:100], b"")[number % _DAMAGES])

    assert findings(tmp_path) == expected


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path, findings: Find) -> None:
    """
    Without a place for them the databases are compiled as before.
    """
    (tmp_path / "file").write_text("in the way")

    assert findings(tmp_path / "file" / "cache") == findings(None)


def _aged(path: Path, days: int) -> None:
    """Make a file, or the day on which the cache was tidied, that old."""
    path.touch()
    os.utime(path, (then := time.time() - days * _DAY, then))


def test_what_was_not_used_for_a_month_is_deleted(tmp_path: Path) -> None:
    """
    What somebody still uses stays, and so does what is not ours; it is looked at once a day.
    """
    with cached_in(tmp_path):
        (tmp_path / "tidied").touch()
        keep(b"old", "hs", "old")
        (old,) = tmp_path.glob("*.hs")
        keep(b"used", "hs", "used")
        (used,) = set(tmp_path.glob("*.hs")) - {old}
        (tmp_path / f"{'0' * 40}.hs").mkdir()
        for path in (old, used, tmp_path / f"{'0' * 40}.hs", tmp_path / "letter.txt", tmp_path / "lock"):
            _aged(path, 31)
        assert kept("hs", "used") == b"used"
    assert old.exists()
    _aged(tmp_path / "tidied", 2)
    with cached_in(tmp_path):
        keep(b"", "hs", "tomorrow")

    assert not old.exists()
    assert used.exists()
    assert (tmp_path / "letter.txt").exists()
    assert (tmp_path / "lock").exists()


def test_what_a_process_has_in_memory_counts_as_used(tmp_path: Path) -> None:
    """
    A process that runs for months and loads changed rules does not make the next start compile all others again.
    """
    with cached_in(tmp_path):
        database((b"kingfisher",), 0)
        (path,) = tmp_path.glob("*.hs")
        _aged(path, 31)
        database((b"walrus",), 0)
        database((b"kingfisher",), 0)

    assert time.time() - path.stat().st_mtime < _DAY


def test_what_is_used_is_noted_once_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    To read what is kept writes nothing, most of the time.
    """
    (tmp_path / "tidied").touch()
    with cached_in(tmp_path):
        keep(b"kept", "hs", "kept")

        def refuse(*_: object) -> None:
            pytest.fail("it was noted already")

        monkeypatch.setattr(os, "utime", refuse)

        assert kept("hs", "kept") == b"kept"
