"""Templates and the few filters that they use. Everything is escaped unless it is markup already."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from urllib.parse import quote, urlencode

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from dashboard import assets, text
from detection import Severity
from pipeline.times import rfc3339

_STEPS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
_KIBI = 1024


@cache
def environment() -> Environment:
    """Make the environment that all pages are rendered in."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        when=when, number=number, duration=duration, size=size, share=share, visible=text.visible,
        one_line=text.one_line, plain=text.plain, segment=segment, query=urlencode,
    )  # fmt: skip
    made.globals.update(around=text.around, asset=assets.url_of, severities=tuple(reversed(Severity)))
    return made


def page(template: str, context: Mapping[str, object], *, status: int = 200) -> HTMLResponse:
    """Render a page."""
    body = environment().get_template(template).render(context)
    # What is shown here belongs to whoever asked, and is old in a moment.
    return HTMLResponse(body, status_code=status, headers={"Cache-Control": "no-store"})


def when(at: datetime) -> Markup:
    """Write a time: UTC as it stands, in the viewer's zone once the script has run."""
    utc = at.astimezone(UTC)
    return Markup('<time datetime="{}" title="{} UTC">{} UTC</time>').format(
        rfc3339(at), utc.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3], f"{utc:%Y-%m-%d %H:%M:%S}"
    )


def number(value: float) -> str:
    """Write a number with its thousands apart."""
    return f"{value:,}"


def share(part: float, whole: float) -> str:
    """Write a part of a whole in percent."""
    percent = 100 * part / whole if whole else 0.0
    return f"{percent:.1f} %" if 0 < percent < 10 else f"{percent:.0f} %"  # noqa: PLR2004 - one digit below ten


def size(octets: float) -> str:
    """Write a number of bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if octets < _KIBI or unit == "GiB":
            break
        octets /= _KIBI
    return f"{octets:,.0f} {unit}" if unit == "B" else f"{octets:,.1f} {unit}"


def duration(seconds: float | timedelta | None) -> str:
    """Write a length of time for people."""
    if seconds is None:
        return "?"
    left = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    if left < 1:
        return f"{max(0.0, left) * 1000:.0f} ms"
    for step, unit in _STEPS:
        if left >= step:
            return f"{left / step:.1f} {unit}"
    return f"{left:.0f} s"


def segment(value: object) -> str:
    """Write a value as one segment of a URL's path."""
    return quote(str(value), safe="")
