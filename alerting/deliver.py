"""Telling claimed alerts: each receiver at its own pace, and every answer turned into what is written down."""

import random
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
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
# So many alerts not taken, and no other between: the receiver is down, and it is not one alert that is too much for it.
_DOWN = 5

log = structlog.get_logger()


@dataclass(slots=True)
class Settled:
    """What a few answers come to: lines of the notification log, alerts that are done, claims given back."""

    notes: list[Note] = field(default_factory=list)
    delivered: list[UUID] = field(default_factory=list)
    postponed: list[Postponement] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.notes or self.delivered or self.postponed)


class _TimeUp(Exception):
    """The time for this batch is over: whoever claims the alert next tells it."""


class _Rests(Exception):
    """The receiver is down, and is not asked again."""


@dataclass(slots=True)
class _Rest:
    """How long a receiver that is down is left alone, after it was found so this often in a row."""

    failures: int = 0
    until: float = 0.0
    reason: str = ""


@dataclass(slots=True)
class _Opened:
    """An alert being told: who has still to answer, and how long those who said "later" are given."""

    alert: Due
    pending: set[str] = field(default_factory=set)
    waits: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Call:
    """An alert that one receiver is to be told."""

    opened: _Opened
    receiver: Receiver
    notification: Announcement


@dataclass(frozen=True, slots=True)
class _Answer:
    """How a receiver took an alert: what it said, or what was raised."""

    call: _Call
    taken: str = ""
    error: BaseException | None = None
    is_down: bool = False


@dataclass(slots=True)
class _Line:
    """What one receiver is to be told of a batch, until it is found to be down."""

    calls: deque[_Call] = field(default_factory=deque)
    is_closed: bool = False


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

    A receiver that is down rests for a while: a thousand alerts that wait for it then cost a few attempts, not a
    thousand. An alert that comes while its receiver rests waits too, and no attempt is counted. One that is not taken
    while others are waits alone.
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
        self._failed = {name: set[UUID]() for name in receivers}  # since the last that was answered; by the threads
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
            give_up_at: the moment from which on nothing more is begun, by the courier's clock; what is left then is
                given back, unless another worker has claimed it since.
        """
        settled = Settled()
        lines = {name: _Line() for name in self._receivers}
        for alert in due:
            self._open(alert, lines, settled)
        if settled:
            yield settled
        left = sum(len(line.calls) for line in lines.values())
        answers: SimpleQueue[_Answer] = SimpleQueue()
        # One task for each thread, and not for each alert: handing over takes longer than writing a line.
        telling = [
            self._threads[name].submit(self._work_through, line, answers, give_up_at)
            for name, line in lines.items()
            for _ in range(min(len(line.calls), self._receivers[name].concurrency))
        ]
        while left:
            answered = _gather(answers, telling)
            left -= len(answered)
            yield self._settle(answered)

    def _open(self, alert: Due, lines: Mapping[str, _Line], settled: Settled) -> None:
        """Put one alert into the lines of those of its receivers that do not rest."""
        opened = _Opened(alert)
        settled.notes += gone(alert, self._receivers)
        notification = word(alert, self._link_base)
        for receiver in route(alert, self._receivers):
            if self._rests[receiver.name].until > self._clock():
                self._leave(opened, receiver.name, settled)
            else:
                opened.pending.add(receiver.name)
                lines[receiver.name].calls.append(_Call(opened, receiver, notification))
        _close(opened, settled)

    def _work_through(self, line: _Line, answers: SimpleQueue[_Answer], give_up_at: float) -> None:
        while True:
            try:
                call = line.calls.popleft()
            except IndexError:
                return
            failed = self._failed[call.receiver.name]
            try:
                if line.is_closed:
                    raise _Rests  # noqa: TRY301 - an answer like any other
                if self._clock() >= give_up_at:
                    raise _TimeUp  # noqa: TRY301
                answers.put(_Answer(call, call.receiver.tell(call.notification)))
            except (_Rests, _TimeUp) as error:
                answers.put(_Answer(call, error=error))
            except BaseException as error:  # noqa: BLE001 - whoever waits for the answer decides
                if isinstance(error, ReceiverRejected):
                    failed.clear()
                elif len(failed) < _DOWN:
                    failed.add(call.opened.alert.alert_id)
                is_down = len(failed) >= _DOWN
                answers.put(_Answer(call, error=error, is_down=is_down))
                # Only now: whoever finds it closed answers after the one that says why.
                line.is_closed = is_down
            else:
                failed.clear()
                line.is_closed = False

    def _settle(self, answered: Sequence[_Answer]) -> Settled:
        settled, sent = Settled(), defaultdict[str, list[str]](list)
        for answer in answered:
            opened, name = answer.call.opened, answer.call.receiver.name
            opened.pending.discard(name)
            if answer.error is None:
                sent[name].append(str(opened.alert.alert_id))
                self._rests[name] = _Rest()
                settled.notes.append(Note(opened.alert.alert_id, name, NotificationState.SENT, answer.taken))
            else:
                self._take(answer, answer.error, settled)
            _close(opened, settled)
        for name, alerts in sent.items():
            log.info("alerts_sent", receiver=name, alert_ids=alerts)
        return settled

    def _take(self, answer: _Answer, error: BaseException, settled: Settled) -> None:
        """Turn what one receiver raised into a line of the notification log."""
        opened, name = answer.call.opened, answer.call.receiver.name
        facts = {"alert_id": str(opened.alert.alert_id), "receiver": name}
        match error:
            case _TimeUp():
                opened.waits.append(0)
            case _Rests():
                self._leave(opened, name, settled)
            case ReceiverRejected():
                self._rests[name] = _Rest()
                settled.notes.append(Note(opened.alert.alert_id, name, NotificationState.REJECTED, error.reason))
                log.error("alert_rejected", reason=error.reason, **facts)
            case ReceiverUnavailable():
                self._wait(answer, error, settled)
                log.warning("alert_waiting", reason=error.reason, **facts)
            case Exception():
                # A fault of the receiver's own code must neither lose the alert nor hold up the others.
                self._wait(answer, ReceiverUnavailable(f"internal error: {type(error).__name__}"), settled)
                log.error("receiver_failed", exc_info=error, **facts)
            case _:
                raise error

    def _leave(self, opened: _Opened, name: str, settled: Settled) -> None:
        """Have an alert wait for as long as its receiver rests, without an attempt."""
        rest = self._rests[name]
        opened.waits.append(max(0.0, rest.until - self._clock()))
        if rest.reason:  # else it has taken another since
            settled.notes.append(_waiting(opened.alert, name, rest.reason, attempted=False))

    def _wait(self, answer: _Answer, error: ReceiverUnavailable, settled: Settled) -> None:
        opened, name = answer.call.opened, answer.call.receiver.name
        told = opened.alert.told.get(name)
        failures = (told.attempts if told else 0) + 1
        asked = min(error.retry_after or 0.0, _LONGEST_ASKED_WAIT)
        rest_left = self._rest(name, error.reason, asked) if answer.is_down else 0.0
        opened.waits.append(max(rest_left, asked, back_off(failures, chance=self._chance())))
        settled.notes.append(_waiting(opened.alert, name, error.reason, attempted=True))

    def _rest(self, name: str, reason: str, asked: float) -> float:
        """Let a receiver rest, and return for how long. Failures of calls made side by side count as one."""
        rest, now = self._rests[name], self._clock()
        if now >= rest.until:
            rest.failures += 1
            rest.until = now + back_off(rest.failures, chance=self._chance())
        rest.until = max(rest.until, now + asked)
        rest.reason = reason
        return rest.until - now


def _waiting(alert: Due, name: str, reason: str, *, attempted: bool) -> Note:
    return Note(alert.alert_id, name, NotificationState.WAITING, reason, attempted)


def _gather(answers: SimpleQueue[_Answer], telling: Sequence[Future[None]]) -> list[_Answer]:
    """Wait for an answer, and return it with those that come close behind: they are written down together."""
    found = [answers.get()]
    wait(telling, timeout=_CLOSE_BEHIND)
    while True:
        try:
            found.append(answers.get_nowait())
        except Empty:
            return found


def _close(opened: _Opened, settled: Settled) -> None:
    """Settle the alert itself once nobody has still to answer."""
    if opened.pending:
        return
    alert = opened.alert
    if opened.waits:
        settled.postponed.append(Postponement(alert.alert_id, alert.claim, min(opened.waits)))
    else:
        settled.delivered.append(alert.alert_id)
