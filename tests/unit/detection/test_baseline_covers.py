"""What the pack baseline has once found it still finds: where a rule grows stricter, a milder one takes the rest."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from detection import load_rule_set
from tests.benchmarks.detection_written import read
from tests.unit.detection.conftest import Judge

_FOUND = Path(__file__).with_name("baseline_found.txt")
_DEVELOP = Path(__file__).parents[2] / "benchmarks" / "detection_texts" / "develop.txt"


def _attacks() -> Iterator[dict[str, str]]:
    """Return the attacks that the rules of all packs are tested with, and those of the benchmark that may be read."""
    for rule in load_rule_set().rules:
        yield from (dict(test.fields) for test in rule.tests if test.attack)
    yield from ({case.field: case.text} for case in read(_DEVELOP, "develop"))


def _name(fields: dict[str, str]) -> str:
    return sha256(repr(sorted(fields.items())).encode()).hexdigest()[:8]


def test_no_attack_falls_out_of_the_pack(judge: Judge) -> None:
    """
    Every attack that the pack found before its rules asked for context is found still, at whatever severity.

    `baseline_found.txt` names them by digest; one whose wording changes drops out of the list.
    """
    found = set(_FOUND.read_text(encoding="ascii").split())
    known = [fields for fields in _attacks() if _name(fields) in found]

    assert len(known) > len(found) / 2
    assert [fields for fields in known if not judge(**fields).findings] == []


def test_an_idiom_is_recorded_and_its_attack_is_worth_an_alert(judge: Judge) -> None:
    """
    Everyday SQL and shell are low; the same words in the place of a value are not.
    """
    for idiom, attack in (
        ("SELECT * FROM bills WHERE 1=1 AND paid = false", "7 OR 1=1"),
        (
            "SELECT table_name FROM information_schema.tables",
            "7 UNION SELECT table_name FROM information_schema.tables",
        ),
        ("SELECT pg_sleep(2)", "x' AND pg_sleep(2)--"),
        ("INSERT INTO t VALUES ('a'); DELETE FROM u WHERE id = 7", "a'); DELETE FROM u--"),
        ("ps aux; uname -a; id", "report.txt; id"),
        ("cat /etc/os-release", "cat /etc/shadow"),
    ):
        assert {finding.severity.name for finding in judge(prompt=idiom).findings} == {"LOW"}, idiom
        assert max(finding.severity for finding in judge(prompt=attack).findings).name in {"MEDIUM", "HIGH", "CRITICAL"}
