"""The arithmetic of ``make bench``: ratios by round, targets, percentiles, evenness, and the page."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.benchmarks.bulk import file_of
from tests.benchmarks.overload import Answers
from tests.benchmarks.rig import growth
from tests.benchmarks.table import BEGIN, END, Table, at_least, at_most, evenness, quantiles, ratio, spread, write


def test_a_ratio_compares_round_by_round() -> None:
    """
    A round in which the machine was slow for both changes nothing.
    """
    found = ratio([100.0, 10.0, 30.0], [200.0, 20.0, 40.0])

    assert (found.least, found.median, found.most) == (0.5, 0.5, 0.75)
    assert str(found) == "0.5 (0.5 to 0.75)"
    with pytest.raises(ValueError, match="longer"):
        ratio([1.0], [1.0, 2.0])


def test_targets_hold_on_their_own_side() -> None:
    """
    A least and a most bound include themselves, and say so.
    """
    assert [at_least(0.75).holds(value) for value in (0.7, 0.75, 0.8)] == [False, True, True]
    assert [at_most(64, "MB").holds(value) for value in (63, 64, 65)] == [True, True, False]
    assert (str(at_least(0.75)), str(at_most(64, "MB"))) == ("≥ 0.75", "≤ 64 MB")


def test_what_misses_its_target_is_counted_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """
    The median is held against the target, and the table names the miss.
    """
    table = Table()
    table.row("a", "1 s")
    table.held("b", "100 events/s", "COPY: 400", spread([0.25, 0.2, 0.9]), at_least(0.45))
    table.held("c", "", "", 3.9, at_most(4, "s"))
    table.note("why")

    lines = table.markdown()
    assert table.missed == 1
    assert "| a | 1 s |  |  |  |  |" in lines
    assert "| b | 100 events/s | COPY: 400 | 0.25 (0.2 to 0.9) | ≥ 0.45 | **no** |" in lines
    assert "| c |  |  | 3.9 s | ≤ 4 s | yes |" in lines
    assert lines[-3:] == ["```text", "why", "```"]
    assert "0.25 (0.2 to 0.9); target ≥ 0.45: no" in capsys.readouterr().out


def test_percentiles_are_among_the_samples() -> None:
    """
    None lies beyond what was seen, even for few samples.
    """
    found = quantiles([number / 1000 for number in range(101)])

    assert (found.median, found.most, found.worst) == pytest.approx((0.05, 0.095, 0.099))
    assert str(found) == "50.0 / 95.0 / 99.0 ms (n=101)"
    assert quantiles([0.001, 0.002]).worst <= 0.002


def test_evenness_is_one_for_equal_shares_and_least_for_one_winner() -> None:
    """
    Jain's index.
    """
    assert evenness([2.0, 2.0, 2.0]) == pytest.approx(1.0)
    assert evenness([5.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
    assert evenness([0.0, 0.0]) == 1.0


def test_the_process_that_grew_most_is_named() -> None:
    """
    One that began meanwhile is compared with the largest there was, and none that shrank is named.
    """
    before = {"api 1": 100.0, "bulk 2": 80.0}

    assert growth(before, {"api 1": 110.0, "bulk 2": 95.0}) == ("bulk 2", 15.0)
    assert growth(before, {"api 1": 110.0, "bulk 2": 81.0, "bulk 3": 120.0}) == ("bulk 3", 20.0)


def test_a_file_holds_as_many_events_as_asked_for(tmp_path: Path) -> None:
    """
    The repeated block is cut where the count ends.
    """
    for count in (1, 4_999, 5_000, 5_001, 12_345):
        assert len(json.loads(file_of(tmp_path / "x.json", count, seed=1).read_bytes())) == count


def test_the_figures_replace_what_stood_on_the_page(tmp_path: Path) -> None:
    """
    What is around the markers stays; a page without them is refused.
    """
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")

    write(page, ["new"])

    assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    page.write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match="no pair of lines"):
        write(page, ["new"])


@pytest.mark.parametrize(
    ("answers", "allowed"),
    [
        (Answers(Counter({202: 5, 429: 1, 503: 2})), True),
        (Answers(Counter({202: 5, 500: 1})), False),
        (Answers(Counter({202: 5, 503: 1}), without_time=1), False),
        (Answers(Counter({202: 5}), broken=1), False),
    ],
)
def test_an_overloaded_service_may_only_refuse_with_a_time(answers: Answers, *, allowed: bool) -> None:
    """
    Another status, a refusal that names no time, and a connection that breaks are each too much.
    """
    assert (answers.wrong == 0) is allowed
