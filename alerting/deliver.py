"""Telling claimed alerts: each receiver at its own pace, and every answer turned into what is written down."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from alerting.receivers import Announcement, Receiver, ReceiverRejected, ReceiverUnavailable
from alerting.route import gone, route
from alerting.wording import word
from pipeline.storage.alerts import Due, Note, NotificationState, Postponement

_FIRST_WAIT = 2.0
_LONGEST_WAIT = 300.0
_LONGEST_ASKED_WAIT = 3600.0
_MOST_DOUBLINGS = 16
_CLOSE_BEHIND = 0.02

log = structlog.get_logger()


@dataclass(slots=True)
class Settled:
    """What a few answers come to: lines of the notification log, alerts that are done, claims given back."""

    notes: list[Note] = field(default_factory=list)
    delivered: list[UUID] = field(default_factory=list)
    postponed: list[Postponement] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.notes or self.delivered or self.postponed)


class _ClaimOver(Exception):
    """The lease is nearly over: the alert may be another worker's by now."""


@dataclass(slots=True)
class _Rest:
    """How long a receiver is left alone, after so many failures in a row."""

    failures: int = 0
    until: float = 0.0
    reason: str = ""


@dataclass(slots=True)
class _Opened:
    """An alert being told: who has still to answer, and how long those who said "later" are given."""

    alert: Due
    pending: set[str] = field(default_factory=set)
    waits: list[float] = field(default_factory=list)
    abandoned: bool = False


def back_off(failures: int, *, chance: float) -> float:
    """Return the seconds to wait after so many failures in a row: 2, 4, 8 … 300, shortened by up to a half.

    Args:
        failures: at least 1.
        chance: between 0 and 1; keeps many waits from ending together.
    """
    longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(failures - 1, _MOST_DOUBLINGS))
    return longest * (1 - chance / 2)


class Courier:
    """Tells alerts to receivers, each with threads of its own, so that a slow one holds up no other.

    A receiver that was unavailable rests for a while: a thousand alerts that wait for a server that is down then cost a
    few attempts, not a thousand. An alert that comes while its receiver rests waits too, and no attempt is counted.
    """

    def __init__(
        self,
        receivers: Mapping[str, Receiver],
        *,
        link_base: str,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._receivers = receivers
        self._link_base = link_base
        self._clock = clock
        self._chance = chance
        self._rests = {name: _Rest() for name in receivers}
        self._threads = {
            name: ThreadPoolExecutor(receiver.concurrency, thread_name_prefix=name)
            for name, receiver in receivers.items()
        }

    def close(self) -> None:
        """Let the threads end once what they are telling has been told."""
        for threads in self._threads.values():
            threads.shutdown(cancel_futures=True)

    def tell(self, due: Sequence[Due], *, give_up_at: float) -> Iterator[Settled]:
        """Tell claimed alerts, and yield what is settled each time that answers arrive.

        Args:
            due: the claimed alerts, the most urgent first.
            give_up_at: the moment from which on nothing more is begun, by the courier's clock.
        """
        settled = Settled()
        calls: dict[Future[str], tuple[_Opened, str]] = {}
        for alert in due:
            calls |= self._begin(alert, give_up_at, settled)
        if settled:
            yield settled
        while calls:
            wait(calls, return_when=FIRST_COMPLETED)
            # Those that come close behind are written down in the same transaction.
            answered, _ = wait(calls, timeout=_CLOSE_BEHIND)
            settled = Settled()
            for future in answered:
                opened, name = calls.pop(future)
                self._take(opened, name, future, settled)
                _close(opened, settled)
            if settled:
                yield settled

    def _begin(self, alert: Due, give_up_at: float, settled: Settled) -> dict[Future[str], tuple[_Opened, str]]:
        """Begin telling one alert to those of its receivers that do not rest."""
        opened = _Opened(alert)
        settled.notes += gone(alert, self._receivers)
        notification = word(alert, self._link_base)
        calls = {}
        for receiver in route(alert, self._receivers):
            rest = self._rests[receiver.name]
            rest_left = rest.until - self._clock()
            if rest_left > 0:
                opened.waits.append(rest_left)
                settled.notes.append(_waiting(alert, receiver.name, rest.reason, attempted=False))
            else:
                opened.pending.add(receiver.name)
                call = self._threads[receiver.name].submit(self._call, receiver, notification, give_up_at)
                calls[call] = (opened, receiver.name)
        _close(opened, settled)
        return calls

    def _call(self, receiver: Receiver, notification: Announcement, give_up_at: float) -> str:
        if self._clock() >= give_up_at:
            raise _ClaimOver
        return receiver.tell(notification)

    def _take(self, opened: _Opened, name: str, call: Future[str], settled: Settled) -> None:
        """Turn one receiver's answer into a line of the notification log."""
        alert, facts = opened.alert, {"alert_id": str(opened.alert.alert_id), "receiver": name}
        opened.pending.discard(name)
        try:
            reason = call.result()
        except _ClaimOver:
            opened.abandoned = True
            log.warning("alert_left", **facts)
        except ReceiverRejected as error:
            self._rests[name] = _Rest()
            settled.notes.append(Note(alert.alert_id, name, NotificationState.REJECTED, error.reason))
            log.error("alert_rejected", reason=error.reason, **facts)  # noqa: TRY400 - the reason says it all
        except ReceiverUnavailable as error:
            self._wait(opened, name, error, settled)
            log.warning("alert_waiting", reason=error.reason, **facts)
        except Exception as error:
            # A fault of the receiver's own code must neither lose the alert nor hold up the others.
            self._wait(opened, name, ReceiverUnavailable(f"internal error: {type(error).__name__}"), settled)
            log.exception("receiver_failed", **facts)
        else:
            self._rests[name] = _Rest()
            settled.notes.append(Note(alert.alert_id, name, NotificationState.SENT, reason))
            log.info("alert_sent", **facts)

    def _wait(self, opened: _Opened, name: str, error: ReceiverUnavailable, settled: Settled) -> None:
        told = opened.alert.told.get(name)
        failures = (told.attempts if told else 0) + 1
        rest_left = self._rest(name, error)
        opened.waits.append(max(rest_left, back_off(failures, chance=self._chance())))
        settled.notes.append(_waiting(opened.alert, name, error.reason, attempted=True))

    def _rest(self, name: str, error: ReceiverUnavailable) -> float:
        """Let a receiver rest, and return for how long. Failures of calls made side by side count as one."""
        rest, now = self._rests[name], self._clock()
        if now >= rest.until:
            rest.failures += 1
            rest.until = now + back_off(rest.failures, chance=self._chance())
        if error.retry_after is not None:
            rest.until = max(rest.until, now + min(error.retry_after, _LONGEST_ASKED_WAIT))
        rest.reason = error.reason
        return rest.until - now


def _waiting(alert: Due, name: str, reason: str, *, attempted: bool) -> Note:
    return Note(alert.alert_id, name, NotificationState.WAITING, reason, attempted)


def _close(opened: _Opened, settled: Settled) -> None:
    """Settle the alert itself once nobody has still to answer; an abandoned one comes back when its lease ends."""
    if opened.pending or opened.abandoned:
        return
    alert = opened.alert
    if opened.waits:
        settled.postponed.append(Postponement(alert.alert_id, alert.claim, min(opened.waits)))
    else:
        settled.delivered.append(alert.alert_id)
