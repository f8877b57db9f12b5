"""What holds for every receiver there is, and will be."""

import inspect

import pytest

from alerting import receivers
from alerting.receivers import Receiver, ReceiverError, ReceiverRejected, ReceiverUnavailable
from alerting.settings import AlertSettings

EVERY = pytest.mark.parametrize("kind", receivers.discover().values(), ids=lambda kind: kind.name)


def test_receivers_are_found_by_looking() -> None:
    """The folder's public modules are the receivers."""
    assert {"console", "webhook"} <= receivers.discover().keys()


@EVERY
def test_a_receiver_is_called_after_its_file(kind: type[Receiver]) -> None:
    """A receiver's name is its module's, so that the notification log leads to the file."""
    assert kind.__module__ == f"alerting.receivers.{kind.name}"


@EVERY
@pytest.mark.parametrize("url", [None, "", "nonsense", "http://", "https://example.test/hook"])
def test_no_setting_keeps_a_receiver_from_being_made(kind: type[Receiver], url: str | None) -> None:
    """A wrong setting is a reason on each alert, never a worker that does not start."""
    made = kind.from_settings(AlertSettings.model_validate({"alert_webhook_url": url}))

    assert made is None or made.concurrency >= 1


@EVERY
def test_a_receiver_says_how_it_fails(kind: type[Receiver]) -> None:
    """Every receiver documents which of the two failures it tells apart."""
    assert "ReceiverUnavailable" in (inspect.getdoc(kind.tell) or "")


def test_a_receiver_fails_in_exactly_two_ways() -> None:
    """There is "later" and there is "never", each with a sentence as its default reason."""
    assert {ReceiverUnavailable, ReceiverRejected} == set(ReceiverError.__subclasses__())
    assert "tried again" in ReceiverUnavailable().reason
    assert "cannot help" in ReceiverRejected().reason


def test_without_a_webhook_there_is_the_console() -> None:
    """The default installation tells alerts on the console alone."""
    assert list(receivers.configured(AlertSettings.model_validate({"alert_webhook_url": None}))) == ["console"]
