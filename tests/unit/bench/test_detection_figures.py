"""What the figures on detection stand on: texts that are read right, counted right, and kept from authors of rules."""

import re
import sys
from pathlib import Path

import pytest

from detection import load_rule_set
from tests.benchmarks.detection import main
from tests.benchmarks.detection_adapters import PEERS, answer
from tests.benchmarks.detection_data import BENIGN, HELD_OUT, Case, sampled
from tests.benchmarks.detection_peers import asked
from tests.benchmarks.detection_score import OwnScore, own_score, peer_score, place
from tests.benchmarks.detection_shapes import SHAPES
from tests.benchmarks.detection_table import BEGIN, END, tables, write
from tests.benchmarks.detection_written import read, written
from tests.packs import word_pack

_REQUIREMENTS = Path(__file__).parents[3] / "requirements"


def _case(text: str, family: str = "birds", source: str = "a", split: str = "develop") -> Case:
    return Case(text, source, family, "prompt", "normal", text, split)


@pytest.fixture
def scored(tmp_path: Path) -> OwnScore:
    """Two sources, of which one is held out, and a benign text that alerts in each split."""
    (tmp_path / "bench.yaml").write_text(word_pack("kingfisher", rule="kingfisher"), encoding="utf-8")
    cases = [
        _case("kingfisher one"),
        _case("heron two"),
        _case("heron three", source="b", split=HELD_OUT),
        _case("a kingfisher sat", BENIGN),
        _case("the kingfisher flew", BENIGN, split=HELD_OUT),
    ]
    return own_score(load_rule_set(tmp_path), place(cases, ("bare", "json")))


def test_sections_choices_and_line_breaks_are_read(tmp_path: Path) -> None:
    """
    A section gives family and field, a choice gives several texts, and the sign for a line break is one.
    """
    path = tmp_path / "x.txt"
    path.write_text("== sqli prompt\none⏎two\n\n== xss response\n⟦a|b⟧ {hex:32}\n", encoding="utf-8")

    first, *others = read(path, "develop")

    assert (first.family, first.field, first.text) == ("sqli", "prompt", "one\ntwo")
    assert {(case.family, case.field, case.text[0]) for case in others} == {
        ("xss", "response", "a"),
        ("xss", "response", "b"),
    }
    assert all(re.fullmatch(r"[ab] [0-9a-f]{32}", case.text) for case in others)


def test_the_written_texts_are_the_same_every_time_and_in_one_split_only() -> None:
    """
    Figures can be had again, and nothing that is held out stands among what authors of rules may see.
    """
    cases = list(written())
    texts = {split: {case.text for case in cases if case.split == split} for split in ("develop", HELD_OUT)}

    assert cases == list(written())
    assert texts["develop"] & texts[HELD_OUT] == set()
    assert len({case.id for case in cases}) == len(cases)


def test_the_texts_hold_nothing_that_looks_like_a_key_of_somebody() -> None:
    """
    Keys are made up while measuring.
    """
    folder = Path(__file__).parents[2] / "benchmarks" / "detection_texts"
    keys = re.compile(
        r"gh[pousr]_\w{36}|sk_live_\w{24}|AKIA[0-9A-Z]{16}|AIza[\w-]{35}|xox[bp]-\d+-|BEGIN .*KEY-----⏎[^{]"
    )

    files = list(folder.glob("*.txt"))

    assert files
    assert [found for path in files for found in keys.findall(path.read_text(encoding="utf-8"))] == []


def test_a_sample_is_the_same_for_a_seed_and_takes_from_every_source() -> None:
    """
    A small source is not lost beside a large one.
    """
    cases = [_case(str(number), source="large") for number in range(50)] + [_case("x", source="small")]

    drawn = sampled(cases, 5, seed=1)

    assert drawn == sampled(cases, 5, seed=1) != sampled(cases, 5, seed=2)
    assert [case.source for case in drawn] == ["large"] * 5 + ["small"]
    assert len(sampled(cases, 0, seed=1)) == len(cases)


def test_held_out_texts_are_counted_and_never_shown(scored: OwnScore) -> None:
    """
    Authors of rules see the misses and false alerts of texts they may see, and figures of all.
    """
    assert {placed.case.text for placed in scored.misses} == {"heron two"}
    assert {case.text for case, _ in scored.hits} == {"a kingfisher sat"}
    assert scored.blamed["kingfisher"] == len(scored.false)


def test_the_tables_average_over_sources_and_tell_splits_apart(scored: OwnScore) -> None:
    """
    A peer stands beside us with one figure for each way an attack is placed.
    """
    texts = place([_case("kingfisher one"), _case("heron two")], ("bare", "json"))
    peer = peer_score(texts, [placed.shape == "json" for placed in texts])

    lines = tables(scored, {"Peer": peer})

    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| birds")]
    assert ["birds", "develop", "2", "50.0 (50.0)", "50.0 (50.0)", "–", "0.0 / 100.0"] in rows
    assert ["birds", "held-out", "1", "0.0 (0.0)", "0.0 (0.0)", "–", "– / –"] in rows


def test_the_figures_replace_what_stood_between_the_markers(tmp_path: Path) -> None:
    """
    The rest of the page stays, and a page without markers is refused.
    """
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")

    write(page, ["new"])

    assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    page.write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match="no pair of lines"):
        write(page, ["new"])


def test_a_peer_that_cannot_be_asked_is_named_with_the_reason(tmp_path: Path) -> None:
    """
    No peer is silently missing: neither one that is not installed, nor all of them.
    """
    with asked(tmp_path / "python", ["x"]) as nobody:
        pass
    with asked(Path(sys.executable), ["x\ud800"]) as answers:
        pass

    assert "make bench-detection" in nobody.missing["every peer"]
    assert set(answers.verdicts) | set(answers.missing) == set(PEERS)
    assert "No module named" in answers.missing["NeMo Guardrails"]
    assert set(answer([])["missing"]) == set(answers.missing)


def test_every_peer_is_pinned_by_hash() -> None:
    """
    What is measured is what was measured, on every machine.
    """
    lock = (_REQUIREMENTS / "bench.txt").read_text(encoding="utf-8")
    wanted = re.findall(r"^([a-z0-9-]+)", (_REQUIREMENTS / "bench.in").read_text(encoding="utf-8"), re.MULTILINE)
    entries = [line for line in lock.replace("\\\n", " ").splitlines() if line.strip()]

    assert {peer.package for peer in PEERS.values()} <= set(wanted)
    assert {entry.split("==")[0] for entry in entries} == set(wanted)
    assert [entry for entry in entries if not re.search(r"==\S+ .*--hash=sha256:[0-9a-f]{64}", entry)] == []


def test_every_shape_holds_the_attack() -> None:
    """
    What is looked for is there, in each place that it is put.
    """
    assert {name for name, shape in SHAPES.items() if "kingfisher" not in shape("kingfisher")} == set()


def test_a_folder_without_data_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A mistyped folder does not pass for a measurement.
    """
    assert main(["--data", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
