"""The chart over time, as numbers that a template draws as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from detection import Severity
from pipeline.storage.stats import CLEAN, Bucket
from pipeline.times import rfc3339

HEIGHT, WIDTH = 120, 960
_GAP = 0.18
ORDER = (CLEAN, *(severity.label for severity in Severity))


@dataclass(frozen=True, slots=True)
class Block:
    """One severity's part of a bar."""

    name: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One bucket of time."""

    start: datetime
    x: float
    width: float
    judged: int
    flagged: int
    blocks: Sequence[Block]
    href: str


@dataclass(frozen=True, slots=True)
class Chart:
    """All bars, and what their full height stands for."""

    bars: Sequence[Bar]
    highest: int


def draw(buckets: Sequence[Bucket], width: timedelta, *, flagged_only: bool) -> Chart:
    """Lay the buckets out as stacked bars.

    Args:
        buckets: in order of time.
        width: how long each of them is.
        flagged_only: leave clean events out, so that a few flagged ones can be seen beside very many.
    """
    names = ORDER[1:] if flagged_only else ORDER
    highest = max((sum(bucket.events.get(name, 0) for name in names) for bucket in buckets), default=0)
    step = WIDTH / max(1, len(buckets))
    bars = [_bar(bucket, names, index * step, step, highest, width) for index, bucket in enumerate(buckets)]
    return Chart(bars, highest)


def _bar(bucket: Bucket, names: Sequence[str], x: float, step: float, highest: int, width: timedelta) -> Bar:
    blocks: list[Block] = []
    top = float(HEIGHT)
    for name in names:
        count = bucket.events.get(name, 0)
        if count:
            # One event among a million is still to be seen.
            height = max(1.5, HEIGHT * count / highest)
            top = max(0.0, top - height)
            blocks.append(Block(name, round(top, 2), round(height, 2)))
    query = urlencode({"from": rfc3339(bucket.start), "to": rfc3339(bucket.start + width)})
    x, wide = round(x + step * _GAP / 2, 2), round(step * (1 - _GAP), 2)
    return Bar(bucket.start, x, wide, bucket.judged, bucket.flagged, blocks, f"/events?{query}")
