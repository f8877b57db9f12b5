"""What a reader asks for: terms on events, and the SQL that they mean."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, Tuple, and_, func, literal, not_, or_, tuple_

from pipeline.ids import BatchId, nth_chunk
from pipeline.storage import _values
from pipeline.storage._copy import NUL_STANDS_AS
from pipeline.storage._models import events

Value: TypeAlias = str | int | datetime | UUID | BatchId
Condition: TypeAlias = ColumnElement[bool]
Predicate: TypeAlias = Callable[[Value], Condition]

# Events are stored under the time of Redis' clock, and asked for by the time of the API's: clocks differ.
_CLOCK_SLACK = timedelta(hours=1)
_PLACE = tuple_(events.c.received_at, events.c.chunk, events.c.position)
_STRETCH = 10_000
_STRETCH_OF_FLAGGED = 2_000  # they lie apart
_TIMES = ("from", "to")
_LOOKED_UP = (*_values.KEYS, "upload_id", "batch_id")
_SEARCHED = ("prompt", "response", "tool", "user", "agent")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where an event stands in the order newest received first."""

    received_at: datetime
    chunk: UUID
    position: int


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: of its values one must apply or, where it is negated, none may."""

    key: str
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """From when on, and until before when, events were received; None is no bound."""

    start: datetime | None
    end: datetime | None


def span(terms: Sequence[Term]) -> Span:
    """Return the one span that all terms about times mean together."""
    starts = [_bound(term) for term in terms if (term.key, term.negated) in {("from", False), ("to", True)}]
    ends = [_bound(term) for term in terms if (term.key, term.negated) in {("to", False), ("from", True)}]
    return Span(max(starts, default=None), min(ends, default=None))


def _bound(term: Term) -> datetime:
    # One of the values is enough, or else none may hold: the widest and the narrowest, and both are the same end.
    times = [value for value in term.values if isinstance(value, datetime)]
    return min(times) if term.key == "from" else max(times)


def conditions(terms: Sequence[Term]) -> list[Condition]:
    """Return the SQL conditions on ``events`` that all of the terms mean together, but for the times.

    Raises:
        KeyError: a term's key is none of ``KEYS``.
    """
    return [_condition(term) for term in terms if term.key not in _TIMES]


def within(when: Span) -> list[Condition]:
    """Return the conditions that an event was received in a span."""
    received = events.c.received_at
    start = [] if when.start is None else [received >= when.start]
    return start if when.end is None else [*start, received < when.end]


@dataclass(frozen=True, slots=True)
class Order:
    """Events that an index has newest received first, and how many of them may be gone through in a moment."""

    conditions: Sequence[Condition]
    stretch: int


def in_order(terms: Sequence[Term]) -> Order:
    """Return the narrowest order in which all events stand that the terms can mean."""
    uploads = [term for term in terms if term.key == "upload_id" and not term.negated]
    if uploads:
        return Order(conditions(uploads), _STRETCH)
    if any(map(_implies_flagged, terms)):
        return Order([events.c.severity.is_not(None)], _STRETCH_OF_FLAGGED)
    return Order([], _STRETCH)


def looked_up(terms: Sequence[Term]) -> list[Condition]:
    """Return the conditions by which an index finds events wherever they stand in that order, few or many."""
    found = [term for term in terms if not term.negated and (term.key in _LOOKED_UP or _implies_flagged(term))]
    return [_among_values(term) if term.key in _values.KEYS else _condition(term) for term in found]


def older_than(received_at: datetime, chunk: UUID, position: int) -> Condition:
    """Return the condition that an event comes after this one in the order newest received first."""
    return _PLACE < _place(received_at, chunk, position)  # noqa: SIM300 - it is the column that varies


def accepted_since(start: datetime | None) -> list[Condition]:
    """Return the condition that leaves out partitions: nothing is accepted before it is received."""
    return [] if start is None else [events.c.accepted_at >= start - _CLOCK_SLACK]


def stored(text: str) -> str:
    """Return a text as its column holds it: PostgreSQL has no NUL."""
    return text.replace("\0", NUL_STANDS_AS)


def _place(received_at: datetime, chunk: UUID, position: int) -> Tuple:
    return tuple_(
        literal(received_at, events.c.received_at.type),
        literal(chunk, events.c.chunk.type),
        literal(position, events.c.position.type),
    )


def _condition(term: Term) -> Condition:
    holds, fails = _KEYS[term.key]
    return and_(*map(fails, term.values)) if term.negated else or_(*map(holds, term.values))


def _implies_flagged(term: Term) -> bool:
    named = term.key in {"min_severity", "rule"} or (term.key == "outcome" and term.values == ("flagged",))
    return named and not term.negated


def _among_values(term: Term) -> Condition:
    values = [_values.value(term.key, stored(str(value))) for value in term.values]
    return or_(*(_values.VALUES.contains([value]) for value in values))


def _equals(name: str) -> tuple[Predicate, Predicate]:
    """Return what holds where a column has a value, and what does where it has not: ranges, which an index knows."""
    column = events.c[name]

    def is_it(value: Value) -> Condition:
        return column == _stored(value)

    def is_another(value: Value) -> Condition:
        others = [column < _stored(value), column > _stored(value)]
        return or_(*others, column.is_(None)) if column.nullable else or_(*others)

    return is_it, is_another


def _stored(value: Value) -> Value:
    return stored(value) if isinstance(value, str) else value


def _is_flagged(value: Value) -> Condition:
    return events.c.severity.is_not(None) if value == "flagged" else events.c.severity.is_(None)


def _has_rule(value: Value) -> Condition:
    # That it is flagged is said too, for the index over those is in the order in which they are read.
    return and_(events.c.rules.contains([_stored(value)]), events.c.severity.is_not(None))


def _batch(value: Value) -> Condition:
    if not isinstance(value, BatchId):
        raise TypeError(value)
    if value.chunks > 1:
        return events.c.chunk.between(value.chunk, nth_chunk(value.chunk, value.chunks - 1))
    inside = events.c.position.between(value.first, value.first + value.count - 1)
    return and_(events.c.chunk == value.chunk, inside)


def _contains(value: Value) -> Condition:
    # Lowered and searched is several times as fast as ILIKE, which walks a long pattern again at every character.
    wanted = func.lower(stored(str(value)))
    return or_(*(func.strpos(func.lower(events.c[name]), wanted) > 0 for name in _SEARCHED))


def _denied(holds: Predicate) -> tuple[Predicate, Predicate]:
    # A column without a value must not make a negation unknown, and so drop the row.
    return holds, lambda value: not_(func.coalesce(holds(value), False))


_KEYS: dict[str, tuple[Predicate, Predicate]] = {
    "outcome": (_is_flagged, lambda value: not_(_is_flagged(value))),
    "min_severity": (
        lambda value: events.c.severity >= value,
        lambda value: or_(events.c.severity < value, events.c.severity.is_(None)),
    ),
    "user": _equals("user"),
    "agent": _equals("agent"),
    "tool": _equals("tool"),
    "rule": _denied(_has_rule),
    "upload_id": _equals("upload_id"),
    "batch_id": _denied(_batch),
    "session_id": _equals("session_id"),
    "q": _denied(_contains),
}
KEYS = (*_KEYS, *_TIMES)
