"""What a reader asks for: terms on events, and the SQL that they mean."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, ColumnExpressionArgument, and_, exists, func, literal, not_, or_, tuple_

from pipeline.ids import BatchId, nth_chunk
from pipeline.storage._copy import NUL_STANDS_AS
from pipeline.storage._models import events, findings

Value: TypeAlias = str | int | datetime | UUID | BatchId
Condition: TypeAlias = ColumnElement[bool]

# Events are stored under the time of Redis' clock, and asked for by the time of the API's: clocks differ.
_CLOCK_SLACK = timedelta(hours=1)
_SEARCHED = ("prompt", "response", "tool", "user", "agent")


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: of its values one must apply or, where it is negated, none may."""

    key: str
    values: tuple[Value, ...]
    negated: bool = False


def conditions(terms: Sequence[Term]) -> list[Condition]:
    """Return the SQL conditions on ``events`` that all of the terms mean together.

    Raises:
        KeyError: a term's key is none of ``KEYS``.
    """
    pruning = [_prune(term) for term in terms if term.key == "from" and not term.negated]
    return [_condition(term) for term in terms] + pruning


def older_than(received_at: datetime, chunk: UUID, position: int) -> Condition:
    """Return the condition that an event comes after this one in the order newest received first."""
    place = tuple_(events.c.received_at, events.c.chunk, events.c.position)
    return place < tuple_(
        literal(received_at, events.c.received_at.type),
        literal(chunk, events.c.chunk.type),
        literal(position, events.c.position.type),
    )


def stored(text: str) -> str:
    """Return a text as its column holds it: PostgreSQL has no NUL."""
    return text.replace("\0", NUL_STANDS_AS)


def _condition(term: Term) -> Condition:
    any_of = or_(*(_KEYS[term.key](value) for value in term.values))
    # A column without a value must not make a negation unknown, and so drop the row.
    return not_(func.coalesce(any_of, False)) if term.negated else any_of


def _prune(term: Term) -> Condition:
    # Nothing is accepted before it is received, so older partitions need not be looked at.
    oldest = min(value for value in term.values if isinstance(value, datetime))
    return events.c.accepted_at >= oldest - _CLOCK_SLACK


def _equals(name: str) -> Callable[[Value], ColumnExpressionArgument[bool]]:
    return lambda value: events.c[name] == (stored(value) if isinstance(value, str) else value)


def _outcome(value: Value) -> ColumnExpressionArgument[bool]:
    return events.c.severity.is_not(None) if value == "flagged" else events.c.severity.is_(None)


def _rule(value: Value) -> ColumnExpressionArgument[bool]:
    # The time is part of the key so that one partition answers for one event.
    return exists().where(
        findings.c.accepted_at == events.c.accepted_at,
        findings.c.chunk == events.c.chunk,
        findings.c.position == events.c.position,
        findings.c.rule_id == stored(str(value)),
    )


def _batch(value: Value) -> ColumnExpressionArgument[bool]:
    if not isinstance(value, BatchId):
        raise TypeError(value)
    if value.chunks > 1:
        return events.c.chunk.between(value.chunk, nth_chunk(value.chunk, value.chunks - 1))
    inside = events.c.position.between(value.first, value.first + value.count - 1)
    return and_(events.c.chunk == value.chunk, inside)


def _contains(value: Value) -> ColumnExpressionArgument[bool]:
    # Lowered and searched is several times as fast as ILIKE, which walks a long pattern again at every character.
    wanted = func.lower(stored(str(value)))
    return or_(*(func.strpos(func.lower(events.c[name]), wanted) > 0 for name in _SEARCHED))


_KEYS: dict[str, Callable[[Value], ColumnExpressionArgument[bool]]] = {
    "outcome": _outcome,
    "min_severity": lambda value: events.c.severity >= value,
    "user": _equals("user"),
    "agent": _equals("agent"),
    "tool": _equals("tool"),
    "rule": _rule,
    "upload_id": _equals("upload_id"),
    "batch_id": _batch,
    "session_id": _equals("session_id"),
    "from": lambda value: events.c.received_at >= value,
    "to": lambda value: events.c.received_at < value,
    "q": _contains,
}
KEYS = tuple(_KEYS)
