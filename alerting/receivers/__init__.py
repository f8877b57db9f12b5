"""The receivers. A new one is one file in this folder with a ``RECEIVER``; nothing else changes."""

import sys
from importlib import import_module
from pkgutil import iter_modules

from alerting.receivers._base import (
    Announcement,
    IncidentNotification,
    Notification,
    Receiver,
    ReceiverError,
    ReceiverRejected,
    ReceiverUnavailable,
    ToldFinding,
)
from alerting.settings import AlertSettings

__all__ = [
    "Announcement",
    "IncidentNotification",
    "Notification",
    "Receiver",
    "ReceiverError",
    "ReceiverRejected",
    "ReceiverUnavailable",
    "ToldFinding",
    "configured",
    "discover",
]


def discover() -> dict[str, type[Receiver]]:
    """Return every receiver there is: each public module of this folder holds one, known by its own name."""
    found = iter_modules(sys.modules[__name__].__path__)
    names = sorted(module.name for module in found if not module.name.startswith("_"))
    kinds: list[type[Receiver]] = [import_module(f"{__name__}.{name}").RECEIVER for name in names]
    return {kind.name: kind for kind in kinds}


def configured(settings: AlertSettings) -> dict[str, Receiver]:
    """Return the receivers that the settings ask for, by name."""
    made = {name: kind.from_settings(settings) for name, kind in discover().items()}
    return {name: receiver for name, receiver in made.items() if receiver is not None}
