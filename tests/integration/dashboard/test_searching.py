"""Whatever way a page of verdicts is found, it is the page that going through all events one by one would give."""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, text

from pipeline.ids import BatchId, EventId
from pipeline.storage import reading, searching, selecting
from pipeline.storage.reading import StoredVerdict
from pipeline.storage.selecting import Place, Term, Value
from tests.integration.dashboard.recording import Record

START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=20)
UPLOADS = [f"00000000-0000-7000-8000-00000000000{number}" for number in range(3)]
_FIELDS = ("user", "agent", "tool", "session_id")


@pytest.fixture
def stored(record: Record, engine: Engine) -> list[StoredVerdict]:
    """Give some hundred events, as they are read: live ones, and uploads whose events share their time."""
    chance = random.Random(7)  # noqa: S311 - no secret
    for number in range(60):
        events = [
            {
                "user": chance.choice(["alice", "alice", "bob", "\0odd"]),
                "agent": f"agent-{number // 20}",
                "tool": chance.choice(["web_search", "web_search", "os_shell", "x" * 500]),
                **({"session_id": chance.choice(["one", "two"])} if chance.random() < 0.6 else {}),
            }
            for _ in range(chance.randrange(1, 8))
        ]
        record(
            *events, at=START + timedelta(minutes=number // 4), upload_id=chance.choice([*UPLOADS, None, None, None])
        )
    with reading.snapshot(engine) as connection:
        return pages(connection, [], 1_000)


def pages(connection: Connection, terms: Sequence[Term], limit: int) -> list[StoredVerdict]:
    """Read page after page to the end."""
    found: list[StoredVerdict] = []
    after: Place | None = None
    while True:
        page = reading.page(connection, terms, limit=limit, after=after)
        found += page.items
        if (after := page.next_after) is None:
            return found


def holds(term: Term, item: StoredVerdict) -> bool:
    """Say whether a term holds for an event, without a database."""
    by_key: dict[str, Callable[[Value], bool]] = {
        **dict.fromkeys(_FIELDS, lambda value: item.fields.get(term.key) == value),
        "rule": lambda value: value in {finding.rule_id for finding in item.findings},
        "outcome": lambda value: item.outcome == value,
        "min_severity": lambda value: item.severity is not None and item.severity >= value,  # type: ignore[operator]
        "upload_id": lambda value: item.upload_id == value,
        "batch_id": lambda value: (
            isinstance(value, BatchId) and item.event_id in [EventId(value.chunk, n) for n in range(3)]
        ),
        "from": lambda value: item.received_at >= value,  # type: ignore[operator]
        "to": lambda value: item.received_at < value,  # type: ignore[operator]
    }
    return any(map(by_key[term.key], term.values)) is not term.negated


def terms_of(stored: Sequence[StoredVerdict]) -> list[Term]:
    """Return terms that hold for none, some or most of the events, and what denies them."""
    rules = sorted({finding.rule_id for item in stored for finding in item.findings})
    values: dict[str, list[tuple[Value, ...]]] = {
        "user": [("alice",), ("nobody",), ("bob", "\0odd")],
        "agent": [("agent-0",)],
        "tool": [("os_shell",), ("x" * 500,)],
        "session_id": [("one",), ("one", "two")],
        "rule": [(rules[0],)],
        "outcome": [("flagged",), ("clean",)],
        "min_severity": [(0,), (3,)],
        "upload_id": [(UUID(UPLOADS[0]),)],
        "batch_id": [(BatchId(stored[5].event_id.chunk, 0, 3),)],
        "from": [(START + timedelta(minutes=4),)],
        "to": [(START + timedelta(minutes=11),), (START + timedelta(minutes=4), START + timedelta(minutes=9))],
    }
    return [Term(key, one, negated=no) for key, some in values.items() for one in some for no in (False, True)]


@pytest.mark.parametrize(("stretch", "few"), [(1, 200_000), (40, 200_000), (1, 0)])
def test_every_pair_of_terms_finds_what_it_means(
    engine: Engine, stored: list[StoredVerdict], monkeypatch: pytest.MonkeyPatch, stretch: int, few: int
) -> None:
    """
    Page by page, every pair of terms lists exactly the events for which both hold, in order and each once.
    """
    monkeypatch.setattr(selecting, "_STRETCH", stretch)
    monkeypatch.setattr(selecting, "_STRETCH_OF_FLAGGED", stretch)
    monkeypatch.setattr(searching, "_SORTED", few)
    assert len(stored) > 150
    assert {item.outcome for item in stored} == {"clean", "flagged"}
    terms = terms_of(stored)
    with reading.snapshot(engine) as connection:
        for pair in random.Random(stretch).sample(list(combinations(terms, 2)), 60):  # noqa: S311 - no secret
            wanted = [item.event_id for item in stored if all(holds(term, item) for term in pair)]
            assert [item.event_id for item in pages(connection, pair, 17)] == wanted, pair


def test_a_place_beyond_the_end_of_the_span_begins_at_its_end(engine: Engine, stored: list[StoredVerdict]) -> None:
    """
    A cursor that was given for another question does not widen this one.
    """
    end = START + timedelta(minutes=7)
    terms = [Term("user", ("alice",)), Term("to", (end,))]
    with reading.snapshot(engine) as connection:
        page = reading.page(connection, terms, limit=1_000, after=stored[0].place)

    assert [item.event_id for item in page.items] == [
        item.event_id for item in stored if item.fields["user"] == "alice" and item.received_at < end
    ]


def test_what_is_rare_is_looked_up(
    engine: Engine, stored: list[StoredVerdict], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Beyond the stretch, PostgreSQL answers from the index over all values, in which the values are those of the rows.
    """
    monkeypatch.setattr(selecting, "_STRETCH", 1)
    with reading.snapshot(engine) as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        before = _lookups(connection)
        found = reading.page(connection, [Term("user", ("bob",)), Term("agent", ("agent-0",))], limit=1_000).items

        assert _lookups(connection) > before
    assert found
    assert _ids(found) == _ids(
        [item for item in stored if item.fields["user"] == "bob" and item.fields["agent"] == "agent-0"]
    )


def _ids(items: Sequence[StoredVerdict]) -> list[EventId]:
    return [item.event_id for item in items]


def _lookups(connection: Connection) -> int:
    names = text(
        "SELECT coalesce(sum(pg_stat_get_xact_numscans(inhrelid)), 0) FROM pg_inherits "
        "WHERE inhparent = 'events_values'::regclass"
    )
    return int(connection.execute(names).scalar_one())
