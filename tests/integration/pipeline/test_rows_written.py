"""What an event says is what PostgreSQL holds, whatever characters it is made of."""

import json
import random
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, text

from detection import Event, Severity, Verdict
from pipeline.chunk import AcceptedEvent, Chunk
from pipeline.ids import ChunkId, new_uuid
from pipeline.storage import transaction, verdicts
from pipeline.storage.verdicts import Judged, Origin
from pipeline.times import occurred_at

_REQUIRED = ("user", "agent", "tool", "prompt", "response")
_OTHERS = ("session_id", "trace_id")
_TIMES = (
    "2024-01-15T14:30:00Z", "2024-02-29T23:59:60Z", "2024-01-15 14:30:00.123456789+02:00", "1970-01-01T00:00:00Z",
    "2099-12-28T23:59:59.999999Z", "2024-01-31t14:30:00z", "2024-01-15T14:30:00",
)  # fmt: skip


def _event(chance: random.Random) -> Event:
    def odd() -> str:
        return "".join(chance.choices(["\\", "\t", "\n", "\r", "\0", "N", ".", '"', "é", "🙂"], k=chance.randrange(6)))

    required = {name: odd() for name in _REQUIRED}
    others: dict[str, Any] = {name: chance.choice([None, odd()]) for name in _OTHERS}
    metadata = chance.choice([None, {odd(): odd()}])
    return Event(timestamp=chance.choice(_TIMES), metadata=metadata, **required, **others)


def test_odd_characters_are_stored_as_they_came(engine: Engine) -> None:
    """Backslashes, tabs, line ends, NULs, and columns that are empty or missing come back as they were."""
    chance = random.Random(8)  # noqa: S311 - texts
    told = [_event(chance) for _ in range(300)]
    chunk = Chunk([AcceptedEvent(number, event) for number, event in enumerate(told)])
    judged = Judged(
        Origin(ChunkId(new_uuid()), "bulk", datetime.now(UTC), "test"), chunk, [Verdict.of((), "rules")] * len(told)
    )
    with transaction(engine) as connection:
        verdicts.record(connection, [judged], rule_set="rules", send_from=Severity.LOW)
        rows = connection.execute(text("SELECT * FROM events ORDER BY position")).mappings().all()

    assert len(told) == len(rows)
    for row in rows:
        event, nuls = told[row["position"]], json.loads(row["nuls"] or "{}")
        for name in (*_REQUIRED, *_OTHERS):
            value = getattr(event, name)
            places = [at for at, character in enumerate(value or "") if character == "\0"]
            assert (value and value.replace("\0", "\ufffd")) == row[name]
            assert places == nuls.get(name, [])
        assert event.metadata == (row["metadata"] and json.loads(row["metadata"]))
        assert (event.timestamp, occurred_at(event.timestamp)) == (row["timestamp"], row["occurred_at"])
        assert (row["position"], None, None) == (row["received_at"].microsecond, row["severity"], row["rules"])
