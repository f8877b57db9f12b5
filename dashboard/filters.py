"""Filters as they stand in a URL: read, checked, and turned into terms for storage."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlencode

from detection import Severity
from pipeline.http import Problem
from pipeline.ids import BatchId, InvalidId, parse_uuid
from pipeline.storage.selecting import KEYS, Term, Value

LABELS: Mapping[str, str] = {
    "outcome": "outcome",
    "min_severity": "severity at least",
    "user": "user",
    "agent": "agent",
    "tool": "tool",
    "rule": "rule",
    "upload_id": "upload",
    "batch_id": "batch",
    "session_id": "session",
    "from": "received from",
    "to": "received before",
    "q": "text contains",
}
_BLANK_OFFSET = re.compile(r" (\d\d:?\d\d)$")
_OLDEST = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_MOST_SEARCHED = 200


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a URL: ``key=value``, or ``key!=value`` to exclude."""

    key: str
    value: str
    negated: bool = False

    @property
    def parameter(self) -> tuple[str, str]:
        """The pair that stands in the URL."""
        return self.key + "!" * self.negated, self.value

    @property
    def label(self) -> str:
        """What the filter is called on a page."""
        return f"{'not ' if self.negated else ''}{LABELS[self.key]}"


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of one list, and the links that change them."""

    items: Sequence[Filter]
    path: str = "/events"

    @property
    def query(self) -> str:
        """The filters as a query string."""
        return urlencode([item.parameter for item in self.items])

    def adding(self, key: str, value: str, *, negated: bool = False) -> str:
        """Return the link to the list with one filter more, or instead of its opposite."""
        rest = [item for item in self.items if (item.key, item.value) != (key, value)]
        return self._link([*rest, Filter(key, value, negated)])

    def without(self, one: Filter) -> str:
        """Return the link to the list with one filter less."""
        return self._link([item for item in self.items if item != one])

    def after(self, cursor: str) -> str:
        """Return the link to the page that begins at a cursor."""
        return f"{self.path}?{urlencode([*(item.parameter for item in self.items), ('cursor', cursor)])}"

    def value(self, key: str) -> str:
        """Return the first value that is asked for under a key, or nothing."""
        return next((item.value for item in self.items if item.key == key and not item.negated), "")

    def beyond(self, keys: Sequence[str]) -> Sequence[Filter]:
        """Return the filters that a form with these inputs does not hold itself."""
        held = {key: item for item in reversed(self.items) if not item.negated for key in keys if item.key == key}
        return [item for item in self.items if item is not held.get(item.key)]

    def terms(self) -> list[Term]:
        """Return the terms that the filters mean.

        Raises:
            Problem: some value cannot be read; all of them are named.
        """
        values: dict[tuple[str, bool], list[Value]] = {}
        errors: list[dict[str, str]] = []
        for item in self.items:
            try:
                values.setdefault((item.key, item.negated), []).append(_read(item.key, item.value))
            except ValueError as error:
                errors.append({"pointer": item.parameter[0], "code": "invalid", "detail": str(error)})
        if errors:
            raise Problem(422, "Unreadable filter", " ".join(error["detail"] for error in errors), errors=errors)
        return [Term(key, tuple(found), negated) for (key, negated), found in values.items()]

    def _link(self, items: Sequence[Filter]) -> str:
        query = urlencode([item.parameter for item in items])
        return f"{self.path}?{query}" if query else self.path


def read_filters(parameters: Iterable[tuple[str, str]], *, path: str = "/events") -> Filters:
    """Collect the filters among a URL's parameters; empty ones, as forms send them, ask for nothing."""
    found = [Filter(name.removesuffix("!"), value, name.endswith("!")) for name, value in parameters if value]
    return Filters(tuple(dict.fromkeys(item for item in found if item.key in KEYS)), path)


def refuse_unknown(parameters: Iterable[tuple[str, str]], known: Sequence[str]) -> None:
    """Refuse parameters that mean nothing here: a misspelt filter would otherwise return everything.

    Raises:
        Problem: naming each of them.
    """
    unknown = sorted({name for name, _ in parameters if name not in known})
    if unknown:
        detail = f"Unknown: {', '.join(unknown)}. Known: {', '.join(known)}."
        errors = [{"pointer": name, "code": "unknown", "detail": f"{name} is no parameter here"} for name in unknown]
        raise Problem(422, "Unknown parameter", detail, errors=errors)


def read_time(text: str) -> datetime:
    """Read an RFC 3339 time; without an offset it is UTC.

    Raises:
        ValueError: it is none.
    """
    try:
        # In a query string an unescaped "+" arrives as a blank.
        at = datetime.fromisoformat(_BLANK_OFFSET.sub(r"+\1", text))
        return max(_OLDEST, at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC))
    except (ValueError, OverflowError):
        message = f"“{text[:40]}” is no time such as 2024-01-15T14:30:00Z."
        raise ValueError(message) from None


def read_end(text: str) -> datetime:
    """Read the time before which things lie; a date alone ends with its day.

    Raises:
        ValueError: it is none.
    """
    at = read_time(text)
    is_last = at > datetime.max.replace(tzinfo=UTC) - _DAY
    return at + _DAY if _is_date(text) and not is_last else at


def read_severity(text: str) -> int:
    """Read a severity's name.

    Raises:
        ValueError: it is none.
    """
    names = {severity.label: severity.value for severity in Severity}
    if text not in names:
        message = f"“{text[:40]}” is no severity; they are {', '.join(names)}."
        raise ValueError(message)
    return names[text]


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _read(key: str, text: str) -> Value:
    match key:
        case "from":
            return read_time(text)
        case "to":
            return read_end(text)
        case "q" if len(text) > _MOST_SEARCHED:
            message = f"The text to search for has {len(text):,} characters; {_MOST_SEARCHED} are the most."
            raise ValueError(message)
        case "min_severity":
            return read_severity(text)
        case "outcome" if text not in {"clean", "flagged"}:
            message = f"“{text[:40]}” is no outcome; they are clean and flagged."
            raise ValueError(message)
        case "upload_id" | "batch_id":
            return _read_id(key, text)
    return text


def _read_id(key: str, text: str) -> Value:
    try:
        return parse_uuid(text) if key == "upload_id" else BatchId.parse(text)
    except InvalidId:
        message = f"“{text[:60]}” has not the form of {LABELS[key]} ids."
        raise ValueError(message) from None
