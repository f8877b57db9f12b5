"""The files that rules come from: copied whole or not at all, compiled by one process, waited for in vain by none."""

import fcntl
import threading
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from pipeline.rule_files import RuleFiles
from tests.packs import word_pack

_TODAY = date(2026, 3, 1)
_NOT_HAD = "rules_lock_not_had"


@pytest.fixture
def files(tmp_path: Path) -> RuleFiles:
    """Give the files of a data folder with one replacing pack and a cache of its own."""
    packs, cache = tmp_path / "replacing", tmp_path / "cache"
    packs.mkdir()
    cache.mkdir()
    (packs / "house.yaml").write_text(word_pack("kingfisher"))
    return RuleFiles(packs, None, None, tmp_path, cache)


@pytest.fixture
def held(files: RuleFiles) -> Iterator[None]:
    """Hold the lock on the cache, as a process does that compiles."""
    with (files.cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_a_copy_that_fails_leaves_the_one_before_and_nothing_else(
    files: RuleFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk costs the new copy only."""
    files.keep()
    before = {path.name: path.read_bytes() for path in files.home.iterdir() if path.is_file()}

    def fail(*_: object) -> None:
        raise OSError("full")

    monkeypatch.setattr("pipeline.rule_files.ZipFile.write", fail)
    with pytest.raises(OSError, match="full"):
        files.keep()

    assert {path.name: path.read_bytes() for path in files.home.iterdir() if path.is_file()} == before


def test_a_copy_is_known_again(files: RuleFiles) -> None:
    """To load it time and again leaves nothing behind: wherever it is unpacked, its files are the same."""
    files.keep()
    first = files.load_kept(_TODAY)
    cached = set(files.cache.iterdir())
    second = files.load_kept(_TODAY)

    assert first is not None
    assert second is not None
    assert first.version == second.version
    assert set(files.cache.iterdir()) == cached


@pytest.mark.usefixtures("held")
def test_who_waits_in_vain_goes_on(files: RuleFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was stopped in the middle of compiling keeps no other from its rules, and it is said."""
    monkeypatch.setattr("pipeline.rule_files._WAIT_SECONDS", 0.3)
    with capture_logs() as said:
        rule_set = files.load(_TODAY)

    assert [rule.id for rule in rule_set.rules] == ["site-word"]
    assert [line["event"] for line in said] == [_NOT_HAD]


def test_who_compiles_for_long_is_waited_for(files: RuleFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its holder goes on to keep things, the lock is worth waiting for."""
    monkeypatch.setattr("pipeline.rule_files._WAIT_SECONDS", 1.0)
    held, over = threading.Event(), threading.Event()

    def compile_for_long() -> None:
        with (files.cache / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            held.set()
            for number in range(20):
                (files.cache / f"{number}").touch()
                time.sleep(0.1)
            over.set()

    holder = threading.Thread(target=compile_for_long)
    holder.start()
    held.wait(10)
    with capture_logs() as said:
        files.load(_TODAY)
        waited = over.is_set()
    holder.join()

    assert waited
    assert said == []
