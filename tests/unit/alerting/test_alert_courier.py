"""The courier's arithmetic: how long to wait, whom to leave alone, what an answer means."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import ClassVar, Self
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.deliver import Courier, Settled, back_off
from alerting.receivers import Announcement, Receiver, ReceiverRejected, ReceiverUnavailable
from alerting.settings import AlertSettings
from pipeline.ids import EventId, new_uuid
from pipeline.storage.alerts import DueAlert, NotificationState, Told


class Answering(Receiver):
    """A receiver that answers by calling a function, and counts."""

    name: ClassVar[str] = "answering"

    def __init__(self, answer: Callable[[], str]) -> None:
        self.answer = answer
        self.asked: list[str] = []

    @classmethod
    def from_settings(cls, settings: AlertSettings) -> Self | None:  # noqa: ARG003
        """Make none: it is only made by hand."""
        return None

    def tell(self, notification: Announcement) -> str:
        """Answer."""
        self.asked.append(notification.alert_id)
        return self.answer()


class Choosy(Receiver):
    """A receiver that takes all but some."""

    name: ClassVar[str] = "answering"

    def __init__(self, poisonous: Collection[str], retry_after: float | None, concurrency: int) -> None:
        self._poisonous, self._retry_after, self._concurrency = poisonous, retry_after, concurrency

    @property
    def concurrency(self) -> int:
        """How many calls may be under way."""
        return self._concurrency

    @classmethod
    def from_settings(cls, settings: AlertSettings) -> Self | None:  # noqa: ARG003
        """Make none: it is only made by hand."""
        return None

    def tell(self, notification: Announcement) -> str:
        """Take it, or not."""
        if notification.alert_id in self._poisonous:
            reason = "HTTP 500"
            raise ReceiverUnavailable(reason, retry_after=self._retry_after)
        return "taken"


def _raising(error: Exception) -> Callable[[], str]:
    def answer() -> str:
        raise error

    return answer


def _due(attempts: int = 0) -> DueAlert:
    told = {"answering": Told(NotificationState.WAITING, attempts)} if attempts else {}
    return DueAlert(
        alert_id=uuid4(),
        event_id=EventId(new_uuid(), 0),
        created_at=datetime.now(UTC),
        lane="realtime",
        severity=3,
        title="T",
        rule_ids=("r",),
        user="u",
        agent="a",
        tool="t",
        claim=1,
        findings=(),
        findings_total=0,
        told=told,
    )


def _tell(courier: Courier, *due: DueAlert, give_up_at: float = float("inf")) -> Settled:
    whole = Settled()
    for part in courier.tell(due, give_up_at=give_up_at):
        whole.notes += part.notes
        whole.delivered += part.delivered
        whole.postponed += part.postponed
    return whole


class Clock:
    """A clock that stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


_DOWN = 5
"""So many failures in a row, and a receiver is down."""


@pytest.mark.parametrize(("failures", "longest"), [(1, 2), (2, 4), (3, 8), (8, 256), (9, 300), (10_000, 300)])
def test_waits_double_up_to_five_minutes(failures: int, longest: float) -> None:
    """Waits double from two seconds to five minutes, and chance shortens them by up to a half."""
    assert longest == back_off(failures, chance=0)
    assert longest / 2 == back_off(failures, chance=1)


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_a_wait_is_never_none_nor_endless(failures: int, chance: float) -> None:
    """Every wait lies between one second and five minutes."""
    assert 1 <= back_off(failures, chance=chance) <= 300


def test_a_success_is_delivered() -> None:
    """An alert that everybody took leaves the outbox."""
    due = _due()
    settled = _tell(Courier({"answering": Answering(lambda: "taken")}, link_base=""), due)

    assert [(note.state, note.reason) for note in settled.notes] == [(NotificationState.SENT, "taken")]
    assert ([due.alert_id], []) == (settled.delivered, settled.postponed)


def test_a_refusal_is_final() -> None:
    """An alert that was refused leaves the outbox with the reason."""
    due = _due()
    settled = _tell(Courier({"answering": Answering(_raising(ReceiverRejected("no")))}, link_base=""), due)

    assert [(note.state, note.reason) for note in settled.notes] == [(NotificationState.REJECTED, "no")]
    assert ([due.alert_id], []) == (settled.delivered, settled.postponed)


def test_a_fault_in_a_receiver_loses_nothing() -> None:
    """An error that no receiver should raise makes the alert wait, and is no end of the others."""
    due = _due()
    settled = _tell(Courier({"answering": Answering(_raising(ZeroDivisionError()))}, link_base=""), due)

    assert [note.reason for note in settled.notes] == ["internal error: ZeroDivisionError"]
    assert ([], [due.alert_id]) == (settled.delivered, [item.alert_id for item in settled.postponed])


def test_an_alerts_own_wait_grows_with_its_own_attempts() -> None:
    """The fourth failure of one alert waits sixteen times as long as the first."""
    courier = Courier({"answering": Answering(_raising(ReceiverUnavailable("busy")))}, link_base="", chance=lambda: 0)

    assert [item.seconds for item in _tell(courier, _due(attempts=4)).postponed] == [32.0]


def test_a_receiver_rests_longer_each_time_and_is_then_asked_again() -> None:
    """While it rests, alerts wait without being asked for; then the first that fails is enough; a success ends it."""
    clock, receiver = Clock(), Answering(_raising(ReceiverUnavailable("busy")))
    courier = Courier({"answering": receiver}, link_base="", clock=clock, chance=lambda: 0)
    _tell(courier, *(_due() for _ in range(_DOWN)))
    resting = _tell(courier, _due())
    assert (len(receiver.asked), [item.seconds for item in resting.postponed]) == (_DOWN, [2.0])
    assert [(note.reason, note.attempted) for note in resting.notes] == [("busy", False)]

    clock.now = 2.0
    _tell(courier, *(_due() for _ in range(50)))
    assert len(receiver.asked) == _DOWN + 1
    assert [item.seconds for item in _tell(courier, _due()).postponed] == [4.0]
    clock.now = 6.0
    receiver.answer = lambda: "taken"
    assert len(_tell(courier, _due()).delivered) == 1
    receiver.answer = _raising(ReceiverUnavailable("busy"))
    _tell(courier, _due())
    assert len(receiver.asked) == _DOWN + 3
    _tell(courier, _due())
    assert len(receiver.asked) == _DOWN + 4


def test_failures_side_by_side_count_as_one() -> None:
    """Eight alerts that fail together let the receiver rest as after one failure."""
    courier = Courier(
        {"answering": Answering(_raising(ReceiverUnavailable("busy")))}, link_base="", clock=Clock(), chance=lambda: 0
    )
    _tell(courier, *(_due() for _ in range(8)))

    assert [item.seconds for item in _tell(courier, _due()).postponed] == [2.0]


@pytest.mark.parametrize(("asked", "waits"), [(0.0, 2.0), (30.0, 30.0), (10**9, 3600.0)])
def test_a_receiver_may_ask_for_up_to_an_hour(asked: float, waits: float) -> None:
    """Retry-After lengthens the wait, within reason, and never shortens it."""
    error = ReceiverUnavailable("busy", retry_after=asked)
    courier = Courier({"answering": Answering(_raising(error))}, link_base="", clock=Clock(), chance=lambda: 0)

    assert [waits] == [item.seconds for item in _tell(courier, _due()).postponed]


def test_a_receiver_that_is_down_is_asked_a_few_times_for_a_whole_batch() -> None:
    """Whoever stands in line behind so many failures waits as long as the receiver rests, without an attempt."""
    receiver = Answering(_raising(ReceiverUnavailable("busy")))
    courier = Courier({"answering": receiver}, link_base="", clock=Clock(), chance=lambda: 0)
    settled = _tell(courier, *(_due() for _ in range(50)))

    assert len(receiver.asked) == _DOWN
    assert [note.attempted for note in settled.notes] == [True] * _DOWN + [False] * (50 - _DOWN)
    assert {2.0} == {item.seconds for item in settled.postponed}


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("asked", [None, 30.0])
def test_alerts_that_are_not_taken_wait_alone(concurrency: int, asked: float | None) -> None:
    """A few that a receiver does not take hold up no others, whatever it asks for, nor do they when tried again."""
    due = [_due() for _ in range(200)]
    poisonous = {alert.alert_id for alert in due[: _DOWN - 1]}
    receiver = Choosy({str(alert_id) for alert_id in poisonous}, asked, concurrency)
    courier = Courier({"answering": receiver}, link_base="", clock=Clock(), chance=lambda: 0)
    settled = _tell(courier, *due)

    assert {item.alert_id for item in settled.postponed} == poisonous
    assert {item.seconds for item in settled.postponed} == {asked or 2.0}
    assert len(settled.delivered) == 200 - len(poisonous)
    for _ in range(_DOWN):
        _tell(courier, due[0])
    assert len(_tell(courier, _due()).delivered) == 1


def test_what_a_slow_receiver_cannot_take_in_time_is_given_back() -> None:
    """What is not begun in time is due again at once, under its own claim, and nothing is written down of it."""
    clock = Clock()

    def slowly() -> str:
        clock.now += 1
        return "taken"

    due = [_due() for _ in range(5)]
    settled = _tell(Courier({"answering": Answering(slowly)}, link_base="", clock=clock), *due, give_up_at=2.0)

    assert [alert.alert_id for alert in due[:2]] == settled.delivered == [note.alert_id for note in settled.notes]
    assert [(alert.alert_id, 1, 0) for alert in due[2:]] == [
        (item.alert_id, item.claim, item.seconds) for item in settled.postponed
    ]
