"""Finding the events of a page. Whatever is asked for, only so much is looked at.

PostgreSQL takes the values of columns for independent. Of a question that names two values which never meet it expects
the first page soon, goes through events in their order, and ends up having gone through all of them. So the newest
events are gone through for a bounded stretch, which finds what is frequent; what that leaves open is rare, and looked
up in the index over all values instead.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, Select, func, select, text

from pipeline.storage import selecting
from pipeline.storage._models import events
from pipeline.storage.selecting import Condition, Place, Term

SIZED = ("metadata", "timestamp", "user", "agent", "tool", "prompt", "response", "session_id", "trace_id")
_SORTED = 200_000
_NEWEST_FIRST = (events.c.received_at.desc(), events.c.chunk.desc(), events.c.position.desc())

Key: TypeAlias = Row[*tuple[Any, ...]]


def find(connection: Connection, terms: Sequence[Term], *, limit: int, after: Place | None) -> list[Key]:
    """Return time, chunk, position and size of the newest events for which the terms hold, at most ``limit``.

    Args:
        connection: inside a read-only transaction.
        terms: what the events must and must not be.
        limit: most events to be found.
        after: the place after which the search begins; None is the newest event.
    """
    when = selecting.span(terms)
    wanted = [*selecting.conditions(terms), *selecting.accepted_since(when.start)]
    # Of two bounds only the tighter is said, for an index may begin at either.
    if after is not None and (when.end is None or after.received_at < when.end):
        begin, when = [_comes_after(after)], replace(when, end=None)
    else:
        begin = []
    known = selecting.looked_up(terms)
    end = _end_of_stretch(connection, terms, [*begin, *selecting.within(when)]) if known else None
    if end is None:
        return _take(connection, [*wanted, *begin, *selecting.within(when)], limit)
    stretch = [*begin, *selecting.within(replace(when, start=None)), ~_comes_after(end)]
    near = _take(connection, [*wanted, *stretch], limit)
    if len(near) == limit:
        return near
    beyond = [*known, *selecting.within(replace(when, end=None)), _comes_after(end)]
    if _are_many(connection, beyond):
        # They are only not among the newest; going on finds them sooner than sorting them all.
        return [*near, *_take(connection, [*wanted, *beyond[len(known) :]], limit - len(near))]
    # Or else the next would be the very walk that led nowhere.
    connection.execute(text("SET LOCAL enable_indexscan = off"))
    far = _take(connection, [*wanted, *beyond], limit - len(near))
    connection.execute(text("SET LOCAL enable_indexscan = on"))
    return [*near, *far]


def _are_many(connection: Connection, wanted: Sequence[Condition]) -> bool:
    """Say whether PostgreSQL expects more events than are sorted in a moment."""
    query = select(events.c.position).where(*wanted).compile(connection, compile_kwargs={"render_postcompile": True})
    plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {query}", query.params).scalar_one()
    return int(plan[0]["Plan"]["Plan Rows"]) > _SORTED


def _end_of_stretch(connection: Connection, terms: Sequence[Term], within: Sequence[Condition]) -> Place | None:
    """Return the place after which a bounded search ends, None where all there is comes before it."""
    order = selecting.in_order(terms)
    places = select(events.c.received_at, events.c.chunk, events.c.position).where(*within, *order.conditions)
    row = connection.execute(places.order_by(*_NEWEST_FIRST).offset(order.stretch).limit(1)).one_or_none()
    return None if row is None else Place(*row)


def _comes_after(place: Place) -> Condition:
    return selecting.older_than(place.received_at, place.chunk, place.position)


def _take(connection: Connection, wanted: Sequence[Condition], limit: int) -> list[Key]:
    return list(connection.execute(_keys().where(*wanted).order_by(*_NEWEST_FIRST).limit(limit)).all())


def _keys() -> Select[Any]:
    sizes = [func.coalesce(func.octet_length(events.c[name]), 0) for name in SIZED]
    size = sum(sizes[1:], start=sizes[0])
    return select(events.c.accepted_at, events.c.chunk, events.c.position, size.label("size"))
