"""Time ranges of the dashboard: named in the URL, cut into buckets for the chart."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from dashboard.filters import read_end, read_time
from pipeline.http import Problem
from pipeline.times import rfc3339

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
PRESETS: Mapping[str, tuple[str, timedelta]] = {
    "1h": ("last hour", _HOUR),
    "24h": ("last 24 hours", _DAY),
    "7d": ("last 7 days", 7 * _DAY),
    "30d": ("last 30 days", 30 * _DAY),
    "90d": ("last 90 days", 90 * _DAY),
}
DEFAULT = "24h"
_WIDTHS = (
    *(_MINUTE * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * hours for hours in (1, 2, 3, 6, 12)),
    *(_DAY * days for days in (1, 2, 7, 30, 365)),
)
_BARS = 60


@dataclass(frozen=True, slots=True)
class TimeRange:
    """From ``start`` to ``end`` in buckets of ``width``; ``name`` is the preset's, or empty."""

    start: datetime
    end: datetime
    width: timedelta
    name: str

    @property
    def title(self) -> str:
        """The range in words."""
        return PRESETS[self.name][0] if self.name else "chosen time"

    @property
    def query(self) -> str:
        """The range as parameters of a list of events."""
        return urlencode({"from": rfc3339(self.start), "to": rfc3339(self.end)})


def read_range(parameters: Mapping[str, str], now: datetime) -> TimeRange:
    """Read ``range``, or ``from`` and ``to``, from a URL; the last 24 hours where nothing is said.

    Raises:
        Problem: they cannot be read, or end before they begin.
    """
    since, until = parameters.get("from"), parameters.get("to")
    if since or until:
        try:
            # Nothing was accepted in times to come; there is no sense in drawing them.
            end = min(read_end(until), now + _DAY) if until else now
            start = read_time(since) if since else end - PRESETS[DEFAULT][1]
        except (ValueError, OverflowError) as error:
            raise Problem(422, "Unreadable time", str(error)) from error
        if start >= end:
            raise Problem(422, "Empty time range", "The range ends before it begins.")
        return _aligned(start, end, "")
    name = parameters.get("range") or DEFAULT
    if name not in PRESETS:
        raise Problem(422, "Unknown time range", f"Known ranges are {', '.join(PRESETS)}.")
    return _aligned(now - PRESETS[name][1], now, name)


def _aligned(start: datetime, end: datetime, name: str) -> TimeRange:
    # Tallies are kept by the minute, so the buckets begin and end on whole ones.
    width = next((width for width in _WIDTHS if (end - start) / width <= _BARS), _WIDTHS[-1])
    midnight = datetime(2001, 1, 1, tzinfo=UTC)
    begins = midnight + (start - midnight) // width * width
    return TimeRange(begins, begins + -(-(end - begins) // width) * width, width, name)
