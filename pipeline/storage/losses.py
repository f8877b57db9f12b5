"""Losses: what acceptors acknowledged and nobody can find, by who acknowledged it and when, until it is written off."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from sqlalchemy import Connection, text

# Seconds of which every acceptor has reported; one far ahead was stamped before the clock was set back.
REPORTED = "NOT BETWEEN :before AND :before + 60"
_ONE_LOSS_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Acknowledged events that are nowhere: how many, who acknowledged them, and in which second of Redis' clock.

    ``loss`` is the first second of the loss that they were found to be a part of, None when this is news.
    """

    acceptor: str
    second: int
    events: int
    loss: int | None = None


def shortfalls(connection: Connection, waiting: Mapping[tuple[str, int], int], *, before: int) -> list[Shortfall]:
    """Return what the witness misses, in order.

    Args:
        connection: an open transaction.
        waiting: how many events of each acceptor and second are in the journal.
        before: the second from which on acceptors may not have reported yet.
    """
    cells = connection.execute(text(_LACKING), {"before": before})
    lacking = [Shortfall(cell.acceptor, cell.second, int(cell.events), cell.loss) for cell in cells]
    lacking = [replace(cell, events=cell.events - waiting.get((cell.acceptor, cell.second), 0)) for cell in lacking]
    return [cell for cell in lacking if cell.events > 0]


def told_apart(connection: Connection, cells: Sequence[Shortfall]) -> list[Sequence[Shortfall]]:
    """Put together what one acceptor lost at one time, and remember it, so that it stays one loss to its end.

    Its first cell may be found only later, or be the first that is made good: a loss keeps the name it got.
    """
    named = [named for run in _runs(cells) for named in _named(run)]
    _change(connection, _NAME, [(new, new.loss) for new, old in zip(named, cells, strict=True) if new.loss != old.loss])
    named.sort(key=lambda cell: (cell.acceptor, cell.loss, cell.second))
    return [list(loss) for _, loss in groupby(named, key=lambda cell: (cell.acceptor, cell.loss))]


def write_off(connection: Connection, cells: Iterable[Shortfall]) -> None:
    """Miss these events no longer."""
    _change(connection, _WRITE_OFF, [(cell, cell.events) for cell in cells])


def _change(connection: Connection, change: str, cells: Sequence[tuple[Shortfall, int | None]]) -> None:
    if cells:
        values = {
            "acceptors": [cell.acceptor for cell, _ in cells],
            "seconds": [cell.second for cell, _ in cells],
            "news": [value for _, value in cells],
        }
        connection.execute(text(f"UPDATE witness w SET {change} {_OF_CELLS}"), values)


def _runs(cells: Iterable[Shortfall]) -> Iterator[Sequence[Shortfall]]:
    run: list[Shortfall] = []
    for cell in cells:
        if run and (cell.acceptor != run[-1].acceptor or cell.second - run[-1].second > _ONE_LOSS_SECONDS):
            yield run
            run = []
        run.append(cell)
    if run:
        yield run


def _named(run: Sequence[Shortfall]) -> Iterator[Shortfall]:
    name = next((cell.loss for cell in run if cell.loss is not None), run[0].second)
    for cell in run:
        name = name if cell.loss is None else cell.loss
        yield replace(cell, loss=name)


_LACKING = (
    "SELECT w.acceptor, w.second, w.loss, w.events - w.written_off - coalesce((SELECT sum(c.events) FROM chunks c "
    "WHERE c.acceptor = w.acceptor AND c.accepted_second = w.second AND c.state = 'settled'), 0) AS events "
    f"FROM witness w WHERE NOT w.reconciled AND w.second {REPORTED} ORDER BY w.acceptor, w.second"
)
_OF_CELLS = (
    "FROM unnest(CAST(:acceptors AS text[]), CAST(:seconds AS bigint[]), CAST(:news AS bigint[])) "
    "AS n (acceptor, second, news) WHERE w.acceptor = n.acceptor AND w.second = n.second"
)
_NAME = "loss = n.news"
_WRITE_OFF = "written_off = w.written_off + n.news"
