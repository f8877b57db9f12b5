"""What every receiver is given, and the two ways in which it may fail."""

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal, Self

from alerting.settings import AlertSettings


class ReceiverError(Exception):
    """A receiver did not take a notification."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason or inspect.getdoc(type(self)) or ""
        super().__init__(self.reason)


class ReceiverUnavailable(ReceiverError):
    """The receiver could not take the notification now. It will be tried again."""

    def __init__(self, reason: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class ReceiverRejected(ReceiverError):
    """The receiver refused the notification. Trying again cannot help."""


@dataclass(frozen=True, slots=True)
class ToldFinding:
    """One finding, as people are told of it: the matched excerpt, never the whole text."""

    rule_id: str
    title: str
    severity: str
    confidence: str
    field: str
    start: int | None
    end: int | None
    excerpt: str
    reason: str


@dataclass(frozen=True, slots=True)
class Notification:
    """One alert about an event, in words; the same for every receiver and at every attempt."""

    alert_id: str
    event_id: str
    created_at: datetime
    severity: str
    title: str
    rule_ids: tuple[str, ...]
    user: str
    agent: str
    tool: str
    url: str
    source: str
    findings: tuple[ToldFinding, ...]
    findings_total: int


@dataclass(frozen=True, slots=True)
class IncidentNotification:
    """That something is wrong with the pipe itself, or over: in words, and the same at every attempt."""

    alert_id: str
    incident_id: str
    created_at: datetime
    state: Literal["begun", "over"]
    kind: str
    subject: str
    severity: str
    title: str
    detail: str
    cure: str
    opened_at: datetime
    ended_at: datetime | None
    url: str
    source: str


Announcement = Notification | IncidentNotification


class Receiver(ABC):
    """A kind of destination."""

    name: ClassVar[str]
    """What the notification log calls it."""

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: AlertSettings) -> Self | None:
        """Make the receiver the settings ask for, or None when they ask for none. Never raises: see ``tell``."""

    @property
    def concurrency(self) -> int:
        """How many notifications it takes side by side."""
        return 1

    @abstractmethod
    def tell(self, notification: Announcement) -> str:
        """Hand over one notification, and say in a few words how it was taken.

        Raises:
            ReceiverUnavailable: not now; it will be tried again.
            ReceiverRejected: never; a receiver that was configured wrongly says so here, every time.
        """
