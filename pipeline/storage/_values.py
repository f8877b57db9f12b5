"""Everything by which an event is looked up, as one list: one index over it finds where several values meet."""

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, Text, literal_column
from sqlalchemy.dialects.postgresql import ARRAY

# An index cannot hold any length.
_MOST_CHARACTERS = 500
_PREFIXES: Mapping[str, str] = {
    "user": "user=",
    "agent": "agent=",
    "tool": "tool=",
    "session_id": "session=",
    "rule": "",
}
KEYS = tuple(_PREFIXES)
"""By what an event is looked up."""

_COLUMNS = ", ".join(
    f"'{prefix}' || left(\"{column}\", {_MOST_CHARACTERS})" for column, prefix in _PREFIXES.items() if prefix
)
VALUES: ColumnElement[Sequence[str]] = literal_column(f"(ARRAY[{_COLUMNS}] || rules)", ARRAY(Text))
"""The list, as SQL on ``events``."""


def value(key: str, stored: str) -> str:
    """Return what the list of an event holds that has this value, as its column stores it."""
    return f"{_PREFIXES[key]}{stored[:_MOST_CHARACTERS]}"
