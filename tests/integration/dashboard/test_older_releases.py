"""What older releases stored, and what their workers store during a rolling update, is found by its rules too."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from pipeline.storage import make_engine, migrate, partitions, transaction
from tests.integration.dashboard.recording import Record
from workers import upkeep

_ATTACK = {"tool": "bash", "response": "cat /etc/shadow"}
_EVENT = """
INSERT INTO events (accepted_at, chunk, position, received_at, judged_at, lane, occurred_at, "timestamp", "user", agent,
    tool, prompt, response, severity, rule_set)
VALUES (:at, CAST(:chunk AS uuid), :position, :at, :at, 'bulk', :at, '', '', '', '', '', '', :severity, 'old')
"""
_FINDING = """
INSERT INTO findings (accepted_at, chunk, position, rule_id, title, severity, confidence, field, start, "end", excerpt,
    view, reason, tags)
VALUES (:at, CAST(:chunk AS uuid), :position, :rule, '', 3, 'high', 'prompt', 0, 1, '', 'raw', '', '{}')
"""
_SURPLUS = """
INSERT INTO incidents (incident_id, over_id, kind, subject, severity, title, detail, latest, events, opened_at, seen_at,
    told_at)
VALUES (gen_random_uuid(), gen_random_uuid(), 'surplus', :subject, 3, '', '', '', 2, now(), now(), now())
"""


@pytest.fixture
def old_engine(engine: Engine) -> Iterator[Engine]:
    """Give an engine on a database of its own, whose schema is the one of before events named their rules."""
    name = "old_release"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    made = make_engine(engine.url.set(database=name, drivername="postgresql").render_as_string(hide_password=False))
    migrate.upgrade(made, to="0003")
    yield made
    made.dispose()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"DROP DATABASE {name}"))


def test_an_update_names_the_rules_of_what_is_stored_already(old_engine: Engine) -> None:
    """
    Each flagged event gets its own rules, each once and in order; a clean one stays without.
    """
    now, chunk = datetime.now(UTC), "01980000-0000-7000-8000-000000000001"
    with transaction(old_engine) as connection:
        partitions.ensure(connection, today=now)
        for position, severity in enumerate([3, None, 3]):
            place = {"at": now, "chunk": chunk, "position": position}
            connection.execute(text(_EVENT), {**place, "severity": severity})
        for position, rule in ((0, "b"), (0, "a"), (0, "b"), (2, "c")):
            connection.execute(text(_FINDING), {"at": now, "chunk": chunk, "position": position, "rule": rule})

    migrate.upgrade(old_engine)

    with transaction(old_engine) as connection:
        named = connection.execute(text("SELECT rules FROM events ORDER BY position")).scalars().all()
    assert named == [["a", "b"], None, ["c"]]


def test_what_an_older_worker_stores_is_found_by_its_rules_after_upkeep(
    client: TestClient, record: Record, engine: Engine
) -> None:
    """
    A worker of before leaves the rules out; upkeep names them, and those that are named stay as they are.
    """
    record(_ATTACK, {}, _ATTACK)
    rules = client.get("/api/verdicts").json()["items"][0]["findings"]
    with transaction(engine) as connection:
        before = connection.execute(text("SELECT position, rules FROM events ORDER BY position")).all()
        connection.execute(text("UPDATE events SET rules = NULL WHERE position = 0"))
    asked = f"/api/verdicts?rule={rules[0]['rule_id']}"
    assert len(client.get(asked).json()["items"]) == 1

    upkeep.tidy(engine)

    assert len(client.get(asked).json()["items"]) == 2
    with transaction(engine) as connection:
        assert connection.execute(text("SELECT position, rules FROM events ORDER BY position")).all() == before


def test_an_update_keeps_a_surplus_and_what_older_workers_note(old_engine: Engine) -> None:
    """
    What was told as settled without having been accepted is known as such, and the watch of before goes on meanwhile.
    """
    with transaction(old_engine) as connection:
        connection.execute(text("INSERT INTO counted VALUES (1, 'before the update', 5, 0)"))
        for subject in ("chunks", "events"):
            connection.execute(text(_SURPLUS), {"subject": subject})

    migrate.upgrade(old_engine)

    with transaction(old_engine) as connection:
        assert connection.execute(text("SELECT surplus FROM counted")).scalar_one() == 2
        connection.execute(text("INSERT INTO reviewed (partition, block) VALUES ('events_old', 7)"))
