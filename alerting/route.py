"""Which receivers an alert still has to be told to."""

from collections.abc import Mapping

from alerting.receivers import Receiver
from pipeline.storage.alerts import Due, Note, NotificationState

GONE = "this receiver is no longer configured"


def route(alert: Due, receivers: Mapping[str, Receiver]) -> list[Receiver]:
    """Return the receivers without a final answer: every alert goes to every receiver, to each once."""
    return [receiver for name, receiver in receivers.items() if not _is_final(alert, name)]


def gone(alert: Due, receivers: Mapping[str, Receiver]) -> list[Note]:
    """Return the closing notes for receivers that still waited for an alert and have since been taken away."""
    names = [name for name, told in alert.told.items() if told.state is NotificationState.WAITING]
    return [
        Note(alert.alert_id, name, NotificationState.REJECTED, GONE, attempted=False)
        for name in names
        if name not in receivers
    ]


def _is_final(alert: Due, name: str) -> bool:
    return name in alert.told and alert.told[name].state is not NotificationState.WAITING
