"""The figures as Markdown, for a screen and for the page that quotes them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from tests.benchmarks.detection_score import Group, OwnScore, Score, Tally
from tests.benchmarks.detection_shapes import EMBEDDED

BEGIN, END = "<!-- figures: written by `make bench-detection` -->", "<!-- end of the figures -->"
Cell = Callable[[Iterable[Tally]], str]


def tables(own: OwnScore, peers: Mapping[str, Score]) -> list[str]:
    """Return recall by family, false positives by kind, and both by source for ours."""
    lines = ["In percent. Ours: alerts, and in brackets any finding. Peers: bare / embedded.", ""]
    if own.recall:
        lines += ["Attacks found, averaged over sources, each counting alike:", "", *_recall(own, peers), ""]
    if own.false:
        lines += ["Benign texts that something was found on:", "", *_false(own, peers), ""]
    return [*lines, "What went in, and ours by source:", "", *_sources(own)]


def write(path: Path, lines: Sequence[str]) -> None:
    """Put the lines between the markers of the page."""
    page = path.read_text(encoding="utf-8")
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"{path} has no pair of lines {BEGIN} and {END}")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text("\n".join([before + BEGIN, "", *lines, "", END]) + after, encoding="utf-8")


def _recall(own: OwnScore, peers: Mapping[str, Score]) -> list[str]:
    rows = [["family", "split", "texts", "bare", "embedded", "URL", *peers]]
    for family, split in sorted({(group.family, group.split) for group, _ in own.recall}):
        groups = sorted({group for group, _ in own.recall if (group.family, group.split) == (family, split)})
        rows.append(
            [
                family,
                split,
                str(sum(_texts(own, group) for group in groups)),
                *(_macro(own, groups, shapes, _both) for shapes in (("bare",), EMBEDDED, ("url",))),
                *(
                    " / ".join(_macro(peer, groups, shapes, _alert) for shapes in (("bare",), EMBEDDED))
                    for peer in peers.values()
                ),
            ]
        )
    return _markdown(rows)


def _false(own: OwnScore, peers: Mapping[str, Score]) -> list[str]:
    rows = [["benign", "split", "texts", "ours", *peers]]
    for kind, split in sorted({(group.family, group.split) for group in own.false}):
        groups = [group for group in own.false if (group.family, group.split) == (kind, split)]
        ours, *theirs = (sum((score.false[group] for group in groups), Tally()) for score in (own, *peers.values()))
        rows.append([kind, split, str(ours.texts), _both([ours]), *(_alert([tally]) for tally in theirs)])
    return _markdown(rows)


def _sources(own: OwnScore) -> list[str]:
    rows = [["family", "split", "source", "texts", "bare", "embedded", "URL"]]
    for group in sorted({group for group, _ in own.recall}):
        cells = [_macro(own, [group], shapes, _both) for shapes in (("bare",), EMBEDDED, ("url",))]
        rows.append([group.family, group.split, group.source, str(_texts(own, group)), *cells])
    for group, tally in sorted(own.false.items()):
        rows.append([group.family, group.split, group.source, str(tally.texts), _both([tally]), "", ""])
    return _markdown(rows)


def _macro(score: Score, groups: Sequence[Group], shapes: Sequence[str], cell: Cell) -> str:
    """Return the average over the groups."""
    return cell([sum((score.recall[group, shape] for shape in shapes), Tally()) for group in groups])


def _both(tallies: Iterable[Tally]) -> str:
    tried = [tally for tally in tallies if tally.texts]
    return f"{_alert(tried)} ({_percent([tally.anything / tally.texts for tally in tried])})" if tried else "–"


def _alert(tallies: Iterable[Tally]) -> str:
    return _percent([tally.alert / tally.texts for tally in tallies if tally.texts])


def _percent(shares: Sequence[float]) -> str:
    """Return the average of what was tried."""
    return f"{100 * sum(shares) / len(shares):.1f}" if shares else "–"


def _texts(score: Score, group: Group) -> int:
    return max(tally.texts for (each, _), tally in score.recall.items() if each == group)


def _markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table that reads well as it is: columns of one width."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
