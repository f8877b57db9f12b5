"""Fixtures of the alerting tests: a webhook receiver, and alerts as the detecting worker leaves them."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from alerting.deliver import Courier
from alerting.receivers import configured
from alerting.settings import AlertSettings
from pipeline.ids import EventId, alert_id, new_uuid
from pipeline.storage import transaction
from tests.integration.alerting.listener import Listener

Place = Callable[..., UUID]


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Give a webhook receiver that takes everything."""
    made = Listener()
    made.start()
    yield made
    made.gate.set()
    made.stop()


@pytest.fixture
def courier() -> Iterator[Callable[..., Courier]]:
    """Give a function that makes a courier for a webhook URL."""
    made: list[Courier] = []

    def make(url: str, *, private: bool = True, timeout: float = 5.0) -> Courier:
        settings = AlertSettings.model_validate(
            {
                "alert_webhook_url": url,
                "alert_allow_private": private,
                "alert_timeout_seconds": timeout,
                "public_url": "https://sentinel.test/",
            }
        )
        made.append(Courier(configured(settings), link_base=settings.link_base))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def place(engine: Engine) -> Place:
    """Give a function that leaves one due alert, as the detecting worker's transaction does."""

    def leave(
        *, lane: str = "realtime", severity: int = 3, tool: str = "os_shell", user: str = "alice", findings: int = 1
    ) -> UUID:
        event = EventId(new_uuid(), 0)
        now = datetime.now(UTC)
        row = {
            "accepted_at": now,
            "alert": alert_id(event),
            "chunk": event.chunk,
            "lane": lane,
            "rank": 0 if lane == "realtime" else 1,
            "severity": severity,
            "user": user,
            "tool": tool,
            "due": now - timedelta(seconds=1),
        }
        with transaction(engine) as connection:
            connection.execute(
                text(
                    "INSERT INTO alerts (accepted_at, alert_id, chunk, position, created_at, lane, severity, title, "
                    'rule_ids, "user", agent, tool, sendable) '
                    "VALUES (:accepted_at, :alert, :chunk, 0, :accepted_at, :lane, :severity, 'Dangerous tool', "
                    "ARRAY['dangerous-tool'], :user, 'ChatBot', :tool, true)"
                ),
                row,
            )
            connection.execute(
                text(
                    "INSERT INTO outbox (alert_id, accepted_at, lane_rank, severity, due_at) "
                    "VALUES (:alert, :accepted_at, :rank, :severity, :due)"
                ),
                row,
            )
            for number in range(findings):
                connection.execute(
                    text(
                        "INSERT INTO findings (accepted_at, chunk, position, rule_id, title, severity, confidence, "
                        'field, start, "end", excerpt, view, reason, tags) '
                        "VALUES (:accepted_at, :chunk, 0, :rule, 'Dangerous tool', :severity, 'high', 'tool', "
                        "0, 8, 'os_shell', 'raw', 'os_shell runs commands', '{}')"
                    ),
                    {**row, "rule": f"dangerous-tool-{number}"},
                )
        return alert_id(event)

    return leave


@pytest.fixture
def make_due(engine: Engine) -> Callable[[], None]:
    """Give a function that lets every lease and every wait be over."""

    def age() -> None:
        with transaction(engine) as connection:
            connection.execute(text("UPDATE outbox SET due_at = now() - interval '1 second'"))

    return age


@pytest.fixture
def log_of(engine: Engine) -> Callable[[UUID], dict[str, tuple[str, int, str]]]:
    """Give a function that reads an alert's notification log: receiver to state, attempts and reason."""

    def read(alert: UUID) -> dict[str, tuple[str, int, str]]:
        with transaction(engine) as connection:
            rows = connection.execute(
                text("SELECT receiver, state, attempts, reason FROM notifications WHERE alert_id = :alert"),
                {"alert": alert},
            )
            return {row.receiver: (row.state, row.attempts, row.reason) for row in rows}

    return read


@pytest.fixture
def waiting(engine: Engine) -> Callable[[], dict[UUID, float]]:
    """Give a function that reads the outbox: alert id to the seconds until it is due."""

    def read() -> dict[UUID, float]:
        with transaction(engine) as connection:
            rows = connection.execute(
                text("SELECT alert_id, extract(epoch FROM due_at - clock_timestamp())::float AS left FROM outbox")
            )
            return {row.alert_id: row.left for row in rows}

    return read
