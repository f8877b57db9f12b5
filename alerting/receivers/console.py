"""Tells alerts on standard output: one line each, whatever the event contained."""

import os
from typing import ClassVar, Self

from alerting.receivers._base import Announcement, IncidentNotification, Receiver, ReceiverUnavailable
from alerting.settings import AlertSettings

_STDOUT = 1
_LONGEST_VALUE = 120
_ELLIPSIS = "…"


class ConsoleReceiver(Receiver):
    """Writes ``ALERT`` lines, each in one write, so that lines of several processes never mix."""

    name: ClassVar[str] = "console"

    @classmethod
    def from_settings(cls, settings: AlertSettings) -> Self | None:  # noqa: ARG003 - it needs none
        """Make the receiver; every installation has it."""
        return cls()

    def tell(self, notification: Announcement) -> str:
        """Write the alert's line.

        Raises:
            ReceiverUnavailable: standard output takes nothing now.
        """
        line = f"{format_line(notification)}\n".encode()
        try:
            written = os.write(_STDOUT, line)
        except OSError as error:
            raise ReceiverUnavailable(f"standard output: {error.strerror}") from error
        if written != len(line):
            raise ReceiverUnavailable("standard output took a part of the line")
        return "written"


def format_line(notification: Announcement) -> str:
    """Return an alert as one line that is safe to print."""
    if isinstance(notification, IncidentNotification):
        return (
            f"ALERT operator {notification.severity} {quote(notification.title)} kind={notification.kind} "
            f"subject={quote(notification.subject)} {notification.url} {notification.alert_id}"
        )
    return (
        f"ALERT {notification.severity} {quote(notification.title)} tool={quote(notification.tool)} "
        f"user={quote(notification.user)} {notification.url} {notification.alert_id}"
    )


def quote(value: str) -> str:
    """Return hostile text between quotes: printable, on one line, and not longer than a glance takes."""
    kept = value[:_LONGEST_VALUE]
    shown = "".join(_escape(character) for character in kept)
    return f'"{shown}{_ELLIPSIS if len(value) > len(kept) else ""}"'


def _escape(character: str) -> str:
    # Unprintable are control characters, line separators, surrogates, and the marks that reverse the reading direction.
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


RECEIVER = ConsoleReceiver
