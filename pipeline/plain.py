"""The usual record, read in one go: nearly every record is one, and reading what may be wrong with one is dear."""

import msgspec

from detection import Event
from pipeline.times import InvalidTimestamp, instant

_REQUIRED = 6
_QUOTES = 4


class _Plain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    timestamp: str
    user: str
    agent: str
    tool: str
    prompt: str
    response: str
    session_id: str = ""
    trace_id: str = ""


_plain = msgspec.json.Decoder(_Plain)


def plain_event(raw: bytes, max_name: int) -> Event | None:
    """Read a record that has the usual form: strings only, and nothing to refuse or to keep apart.

    Returns:
        The event that ``to_event`` gives, in a fifth of the time; None for any other record, which it has to read.
    """
    has_escapes = b"\\" in raw
    if has_escapes and b"\\\\" in raw:
        return None
    try:
        found = _plain.decode(raw)
        instant(found.timestamp)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidTimestamp):
        return None
    names, extras = (found.user, found.agent, found.tool), (found.session_id, found.trace_id)
    # A name that stands twice shows in the quotes: every member has four that are not escaped.
    members = _REQUIRED + sum(map(bool, extras))
    quotes = raw.count(b'"') - (raw.count(b'\\"') if has_escapes else 0)
    if quotes != _QUOTES * members or not all(map(str.strip, names)):
        return None
    if max(map(len, names + extras)) > max_name:
        return None
    return Event(
        found.timestamp, *names, found.prompt, found.response, found.session_id or None, found.trace_id or None
    )
