"""The outbox, on a real PostgreSQL: claims, leases, the notification log."""

import sys
from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from pipeline.storage import alerts, transaction
from pipeline.storage.alerts import DueAlert, Note, NotificationState, Postponement

Place = Callable[..., UUID]


def _claim(engine: Engine, limit: int = 10) -> list[DueAlert]:
    with transaction(engine) as connection:
        due = alerts.claim(connection, limit=limit, lease_seconds=30)
    return [each for each in due if isinstance(each, DueAlert)]


def test_live_comes_before_bulk_and_severe_before_mild(engine: Engine, place: Place) -> None:
    """The order of claims is live before bulk, severe before mild, old before young."""
    expected = [
        place(lane="realtime", severity=4),
        place(lane="realtime", severity=1),
        place(lane="bulk", severity=4),
        place(lane="bulk", severity=2),
        place(lane="bulk", severity=2),
    ]

    assert [[expected[0]], [expected[1]]] == [[due.alert_id for due in _claim(engine, 1)] for _ in range(2)]
    assert expected[2:] == [due.alert_id for due in _claim(engine)]


def test_a_claim_carries_what_there_is_to_tell(engine: Engine, place: Place) -> None:
    """A claimed alert comes with its event, its worst findings, and how many there are in all."""
    alert = place(findings=25)

    [due] = _claim(engine)

    assert (alert, "os_shell", "alice", 3, 1) == (due.alert_id, due.tool, due.user, due.severity, due.claim)
    assert (len(due.findings), due.findings_total) == (20, 25)
    assert (due.findings[0].excerpt, due.findings[0].start, due.findings[0].end) == ("os_shell", 0, 8)


def test_a_claimed_alert_is_nobody_elses_until_the_lease_ends(
    engine: Engine, place: Place, make_due: Callable[[], None]
) -> None:
    """A second claim finds nothing while the lease runs, and the same alert once it has ended."""
    alert = place()

    assert [alert] == [due.alert_id for due in _claim(engine)]
    assert _claim(engine) == []
    make_due()
    assert [(alert, 2)] == [(due.alert_id, due.claim) for due in _claim(engine)]


def test_two_claims_at_once_share_nothing(engine: Engine, place: Place) -> None:
    """Two workers whose claims overlap get different alerts, and neither waits for the other."""
    for _ in range(4):
        place()

    with transaction(engine) as first, transaction(engine) as second:
        mine = alerts.claim(first, limit=2, lease_seconds=30)
        yours = alerts.claim(second, limit=4, lease_seconds=30)

    assert (len(mine), len(yours)) == (2, 2)
    assert not {due.alert_id for due in mine} & {due.alert_id for due in yours}


def test_a_claim_that_did_not_commit_was_none(engine: Engine, place: Place) -> None:
    """A worker that dies inside the claim's transaction leaves the alert due."""
    alert = place()

    def die() -> None:
        with transaction(engine) as connection:
            alerts.claim(connection, limit=1, lease_seconds=30)
            sys.exit()

    with pytest.raises(SystemExit):
        die()

    assert [(alert, 1)] == [(due.alert_id, due.claim) for due in _claim(engine)]


def test_a_late_worker_cannot_give_back_what_another_has_claimed_since(
    engine: Engine, place: Place, make_due: Callable[[], None], waiting: Callable[[], dict[UUID, float]]
) -> None:
    """A frozen worker's postponement does not shorten its successor's lease."""
    alert = place()
    [frozen] = _claim(engine)
    make_due()
    [successor] = _claim(engine)

    with transaction(engine) as connection:
        alerts.postpone(connection, [Postponement(alert, frozen.claim, 0)])
    assert waiting()[alert] > 20

    with transaction(engine) as connection:
        alerts.postpone(connection, [Postponement(alert, successor.claim, 5)])
    assert 0 < waiting()[alert] <= 5


@pytest.mark.parametrize(
    ("first", "late", "stays"),
    [
        ("sent", "waiting", "sent"),
        ("sent", "rejected", "sent"),
        ("rejected", "waiting", "rejected"),
        ("rejected", "sent", "sent"),
        ("waiting", "sent", "sent"),
        ("waiting", "rejected", "rejected"),
    ],
)
def test_a_final_state_stays(
    engine: Engine,
    place: Place,
    log_of: Callable[[UUID], dict[str, tuple[str, int, str]]],
    first: str,
    late: str,
    stays: str,
) -> None:
    """What a late worker says never reopens what is settled; that something was sent is never forgotten."""
    alert = place()
    for state in (first, late):
        with transaction(engine) as connection:
            alerts.note(connection, [Note(alert, "webhook", NotificationState(state), state)])

    assert stays == log_of(alert)["webhook"][0]


def test_a_reason_may_hold_anything(
    engine: Engine, place: Place, log_of: Callable[[UUID], dict[str, tuple[str, int, str]]]
) -> None:
    """NUL, lone surrogates and great length in a receiver's words do not keep the alert from being settled."""
    alert = place()
    with transaction(engine) as connection:
        alerts.note(connection, [Note(alert, "webhook", NotificationState.WAITING, "\0\ud800" + "x" * 9999)])

    assert log_of(alert)["webhook"][2].startswith(" ?xxx")


def test_an_alert_that_retention_dropped_leaves_the_outbox(
    engine: Engine, place: Place, waiting: Callable[[], dict[UUID, float]]
) -> None:
    """Where only the outbox row is left, there is nothing to tell, and the row goes too."""
    place()
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM alerts"))

    assert _claim(engine) == []
    assert waiting() == {}
