"""Reading verdicts back: pages of them, one of them, and what belongs to it. Nothing here writes."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, Text, func, select, text, tuple_
from sqlalchemy.exc import DBAPIError

from detection import Finding, Severity
from pipeline.errors import PipelineError
from pipeline.ids import EventId
from pipeline.storage import client_ids, searching, selecting
from pipeline.storage._engine import transaction
from pipeline.storage._models import events, findings
from pipeline.storage.selecting import Place, Term

FIELDS = ("timestamp", "user", "agent", "tool", "prompt", "response", "session_id", "trace_id", "client_id")
# Texts are read up to this size together, so that a page of the largest records does not fill the memory.
PAGE_BYTES = 16_000_000
# What those that do not speak SQL hold and hand on.
Database: TypeAlias = Engine
Snapshot: TypeAlias = Connection
_EXCERPT = 600
_CANCELED = "57014"


class TooSlow(PipelineError):
    """The question took too long to answer. Ask for a shorter time, or for less."""


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """An event with the verdict on it, as they were recorded."""

    event_id: EventId
    fields: Mapping[str, str]  # those of FIELDS that the event has; in a list, cut to an excerpt
    metadata: str | None  # JSON; in a list, cut too
    accepted_at: datetime
    received_at: datetime
    judged_at: datetime
    queue: str
    upload_id: UUID | None
    severity: Severity | None
    rule_set: str
    findings: Sequence[Finding] = field(default=())

    @property
    def outcome(self) -> str:
        """``clean`` or ``flagged``."""
        return "clean" if self.severity is None else "flagged"

    @property
    def place(self) -> Place:
        """Where it stands among the others."""
        return Place(self.received_at, self.event_id.chunk, self.event_id.position)


@dataclass(frozen=True, slots=True)
class Page:
    """Some verdicts, and the place after which the next page begins."""

    items: Sequence[StoredVerdict]
    next_after: Place | None


@contextmanager
def snapshot(engine: Engine, *, seconds: float = 10) -> Iterator[Connection]:
    """Open a read-only transaction in which everything is seen as of one moment.

    Raises:
        TooSlow: a statement ran longer than ``seconds``.
        StorageUnavailable: PostgreSQL is away.
    """
    with transaction(engine) as connection:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        connection.execute(text(f"SET LOCAL statement_timeout = {int(seconds * 1000)}"))
        try:
            yield connection
        except DBAPIError as error:
            if getattr(error.orig, "pgcode", None) == _CANCELED:
                raise TooSlow from error
            raise


def page(
    connection: Connection, terms: Sequence[Term], *, limit: int, after: Place | None = None, whole: bool = True
) -> Page:
    """Read a page of verdicts, newest received first.

    A page of whole events ends early when their texts are large; it holds at least one where there is one.

    Args:
        connection: inside a ``snapshot``.
        terms: what the events must and must not be.
        limit: most verdicts on the page.
        after: the place of the last verdict of the page before.
        whole: read the texts in full, not just how they begin.
    """
    found = searching.find(connection, terms, limit=limit + 1, after=after)
    taken = found[: _fitting(found, limit) if whole else limit]
    items = _read(connection, taken, whole=whole)
    return Page(items, items[-1].place if len(found) > len(taken) else None)


def verdict(connection: Connection, event_id: EventId) -> StoredVerdict | None:
    """Read one event with its verdict, or return None where it is not recorded."""
    key = select(events.c.accepted_at, events.c.chunk, events.c.position).where(
        events.c.chunk == event_id.chunk, events.c.position == event_id.position
    )
    return next(iter(_read(connection, connection.execute(key).all(), whole=True)), None)


def neighbours(
    connection: Connection, of: StoredVerdict, *, limit: int = 5
) -> tuple[Sequence[StoredVerdict], Sequence[StoredVerdict]]:
    """Read the verdicts just before and just after one in its session, oldest first."""
    session = of.fields.get("session_id")
    if session is None:
        return (), ()
    place = (events.c.received_at, events.c.chunk, events.c.position)
    here = selecting.older_than(of.received_at, of.event_id.chunk, of.event_id.position)
    own = (events.c.chunk == of.event_id.chunk) & (events.c.position == of.event_id.position)
    keys = select(events.c.accepted_at, events.c.chunk, events.c.position).where(
        events.c.session_id == selecting.stored(session), *selecting.looked_up([Term("session_id", (session,))])
    )
    earlier = keys.where(here).order_by(*(column.desc() for column in place)).limit(limit)
    later = keys.where(~here, ~own).order_by(*place).limit(limit)
    before = _read(connection, connection.execute(earlier).all(), whole=False)
    after = _read(connection, connection.execute(later).all(), whole=False)
    return before[::-1], after[::-1]


def namesakes(connection: Connection, of: StoredVerdict, *, limit: int = 100) -> Sequence[EventId]:
    """Return other events to which the client gave the same id, although they say something else."""
    client_id = of.fields.get("client_id")
    found = [] if client_id is None else client_ids.bearers(connection, client_id, limit=limit + 1)
    return [event_id for event_id in found if event_id != of.event_id][:limit]


def _fitting(found: Sequence[searching.Key], limit: int) -> int:
    total = 0
    for count, row in enumerate(found[:limit]):
        total += row.size
        if total > PAGE_BYTES and count:
            return count
    return limit


def _read(connection: Connection, keys: Sequence[searching.Key], *, whole: bool) -> list[StoredVerdict]:
    """Read the events of the keys with their findings, newest received first."""
    if not keys:
        return []
    rows = connection.execute(_events(keys, whole=whole)).all()
    about = _findings(connection, keys)
    return [_stored(row, about[row.chunk, row.position]) for row in rows]


def _events(keys: Sequence[searching.Key], *, whole: bool) -> Select[Any]:
    key = tuple_(events.c.accepted_at, events.c.chunk, events.c.position)
    cut = () if whole else ("metadata", *FIELDS)
    texts = [func.left(events.c[name], _EXCERPT, type_=Text).label(name) for name in cut]
    rest = [column for column in events.c if column.name not in cut]
    return (
        select(*rest, *texts)
        .where(key.in_([(row.accepted_at, row.chunk, row.position) for row in keys]))
        .where(_span(events.c.accepted_at, keys))
        .order_by(events.c.received_at.desc(), events.c.chunk.desc(), events.c.position.desc())
    )


def _findings(connection: Connection, keys: Sequence[searching.Key]) -> Mapping[tuple[UUID, int], list[Finding]]:
    key = tuple_(findings.c.chunk, findings.c.position)
    rows = connection.execute(
        select(findings)
        .where(key.in_([(row.chunk, row.position) for row in keys]), _span(findings.c.accepted_at, keys))
        .order_by(findings.c.severity.desc(), findings.c.field, findings.c.start, findings.c.rule_id)
    )
    found: defaultdict[tuple[UUID, int], list[Finding]] = defaultdict(list)
    for row in rows:
        found[row.chunk, row.position].append(_finding(row))
    return found


def _span(column: ColumnElement[datetime], keys: Sequence[searching.Key]) -> ColumnElement[bool]:
    # PostgreSQL leaves out partitions by a range of times, not by a list of tuples.
    times = [row.accepted_at for row in keys]
    return column.between(min(times), max(times))


def _finding(row: Row[Any]) -> Finding:
    return Finding(
        rule_id=row.rule_id,
        title=row.title,
        severity=Severity(row.severity),
        confidence=row.confidence,
        field=row.field,
        start=row.start,
        end=row.end,
        excerpt=row.excerpt,
        view=row.view,
        reason=row.reason,
        tags=msgspec.json.decode(row.tags, type=dict[str, list[str]]),
    )


def _stored(row: Row[Any], about: Sequence[Finding]) -> StoredVerdict:
    columns = row._mapping  # noqa: SLF001 - SQLAlchemy's public way to a row's columns by name
    nuls = msgspec.json.decode(row.nuls, type=dict[str, list[int]]) if row.nuls else {}
    texts = {name: columns[name] for name in FIELDS if columns[name] is not None}
    return StoredVerdict(
        event_id=EventId(row.chunk, row.position),
        fields={name: with_nuls(value, nuls.get(name, ())) for name, value in texts.items()},
        metadata=row.metadata,
        accepted_at=row.accepted_at,
        received_at=row.received_at,
        judged_at=row.judged_at,
        queue=row.lane,
        upload_id=row.upload_id,
        severity=None if row.severity is None else Severity(row.severity),
        rule_set=row.rule_set,
        findings=tuple(about),
    )


def with_nuls(value: str, offsets: Sequence[int]) -> str:
    """Put U+0000 back where it stood in the text as the client sent it."""
    characters = list(value) if offsets else []
    for offset in offsets:
        if offset < len(characters):
            characters[offset] = "\0"
    return "".join(characters) if offsets else value
