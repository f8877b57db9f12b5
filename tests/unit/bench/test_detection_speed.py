"""What the figures on speed stand on: texts of the right size, fair comparison, and a run that outlives a bad text."""

import os
import signal
from pathlib import Path

import pytest

from detection import load_rule_set
from tests.benchmarks import detection_speed, detection_worst
from tests.benchmarks.detection_speed import Timed, apart_from_us, main
from tests.benchmarks.detection_worst import worst
from tests.packs import pack

_BIRDS = pack(
    r"{bird: {regex: 'king\s?fisher\z|kingfisher\b', means: a bird}}",
    "a kingfisher",
    name="prompt-injection",
    rule="kingfisher",
    fields="prompt, response",
)


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one small pack, worst cases of ten kilobytes, and a cache of their own."""
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / "birds.yaml").write_text(_BIRDS, encoding="utf-8")
    monkeypatch.setattr(detection_speed, "_CACHE", tmp_path / "cache")
    for module in (detection_speed, detection_worst):
        monkeypatch.setattr(module, "LENGTH", 10_000)
    return tmp_path / "packs"


def test_every_bad_text_is_of_the_same_length(packs: Path) -> None:
    """
    Texts to be compared by the byte have about as many bytes, each a name of its own, and the rules' attacks are there.
    """
    found = list(worst("The quick brown fox. " * 500, load_rule_set(packs).rules))

    names = [name for name, _ in found]
    assert len(names) == len(set(names)) >= 20
    assert {"attacks: prompts", "words of attacks: all rules"} <= set(names)
    assert [name for name, text in found if not 9_000 < len(text.encode()) <= 10_000] == []


def test_expressions_mean_the_same_to_python() -> None:
    """
    The end of the text, which Python writes in another way, is translated; what it cannot run is left out.
    """
    ended = detection_speed._translated(rb"fox\z")

    assert ended is not None
    assert ended.search(b"a FOX")
    assert not ended.search(b"a fox\n")
    assert detection_speed._translated(rb"\h+fox") is None


def test_ways_are_compared_round_by_round() -> None:
    """
    A round in which the machine was slow for both changes nothing.
    """
    timed = Timed({"one": [1.0, 9.0, 1.0], "other": [2.0, 18.0, 2.0]})

    assert timed.best("other") == 2.0
    assert timed.times("other", "one") == 2.0


def test_a_text_that_kills_the_process_is_told() -> None:
    """
    What is measured in a copy of the process comes back, and the copy's death is not ours.
    """

    def dies() -> float:
        os.kill(os.getpid(), signal.SIGKILL)
        return 1.0

    assert apart_from_us(lambda: 0.25) == 0.25
    assert apart_from_us(dies) is None


def test_a_whole_run_prints_every_figure(packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    One run gives rates, ratios, memory, time to start, worst cases and the cost of each rule, with their targets.
    """
    assert main(["--packs", str(packs), "--events", "100"]) == 0

    printed = capsys.readouterr().out
    for figure in ("ours to raw Hyperscan", "ours to `re`", "first verdict", "(PSS)", "((( without end", "kingfisher"):
        assert figure in printed
    assert printed.count("(target") >= 6


def test_packs_that_do_not_load_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A broken pack ends the run with what is wrong with it.
    """
    (tmp_path / "broken.yaml").write_text("pack: [", encoding="utf-8")

    assert main(["--packs", str(tmp_path)]) == 1
    assert "broken.yaml" in capsys.readouterr().err
