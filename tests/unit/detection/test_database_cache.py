"""Compiled databases on disk."""

from pathlib import Path

from detection import SHIPPED_PACKS, Event, Scanner, load_rule_set
from detection.databases import database

_ATTACK = Event("2024-01-15T14:30:00Z", "alice", "ChatBot", "os_shell", "1' OR '1'='1' --", "<script>alert(1)</script>")


def _findings(cache: Path | None) -> list[str]:
    database.cache_clear()
    rules = load_rule_set(SHIPPED_PACKS / "baseline.yaml", cache=cache)
    return [finding.rule_id for finding in Scanner(rules).scan(_ATTACK).findings]


def test_kept_databases_find_what_fresh_ones_find(tmp_path: Path) -> None:
    """
    The second start reads what the first compiled, and judges alike.
    """
    fresh = _findings(None)

    first, second = _findings(tmp_path), _findings(tmp_path)

    assert fresh == first == second != []
    assert len(list(tmp_path.glob("*.hs"))) > 20


def test_a_broken_database_is_compiled_again(tmp_path: Path) -> None:
    """
    Bytes that were damaged, cut short or emptied are recognised and replaced.
    """
    expected = _findings(tmp_path)
    for number, path in enumerate(sorted(tmp_path.glob("*.hs"))):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes((bytes(data), data[:100], b"")[number % 3])

    assert _findings(tmp_path) == expected


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path) -> None:
    """
    Without a place for them the databases are compiled as before.
    """
    (tmp_path / "file").write_text("in the way")

    assert _findings(tmp_path / "file" / "cache") == _findings(None)
