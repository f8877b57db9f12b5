"""The webhook without a network: what answers mean, what is posted, what a wrong URL leads to."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from structlog.testing import capture_logs

from alerting.receivers import Notification, ReceiverRejected, ReceiverUnavailable, ToldFinding
from alerting.receivers.webhook import WebhookReceiver, encode, error_for

SECRET = "t0p-s3cret"


def _notification() -> Notification:
    finding = ToldFinding("r", "T", "high", "high", "prompt", 0, 9999, "é\u2028" + "x" * 9999, "because")
    return Notification(
        alert_id="0190b0a0-0000-8000-8000-000000000001",
        event_id="0190b0a0000070008000000000000000.0",
        created_at=datetime(2026, 1, 1, 12, 30, tzinfo=UTC),
        severity="high",
        title="T",
        rule_ids=("r",),
        user="u" * 9999,
        agent="a" * 9999,
        tool="t" * 9999,
        url="http://127.0.0.1:8000/events/x",
        source="http://127.0.0.1:8000",
        findings=(finding,) * 20,
        findings_total=1000,
    )


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 503, 599])
def test_later(status: int) -> None:
    """Answers that say "not now" make the receiver unavailable."""
    assert isinstance(error_for(status), ReceiverUnavailable)


@pytest.mark.parametrize("status", [300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 405, 410, 413, 422])
def test_never(status: int) -> None:
    """Redirects and other refusals are final."""
    assert isinstance(error_for(status), ReceiverRejected)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(None, None), ("0", 0), (" 120 ", 120), ("soon", None), ("-5", None), ("1e9", None), ("²", None), ("", None)],
)
def test_retry_after_as_a_number(given: str | None, seconds: float | None) -> None:
    """Retry-After is read where it is a number of seconds, and ignored where it is nonsense."""
    error = error_for(503, retry_after=given)

    assert isinstance(error, ReceiverUnavailable)
    assert seconds == error.retry_after


@pytest.mark.parametrize(("minutes", "least", "most"), [(10, 590, 600), (-10, 0, 0)])
def test_retry_after_as_a_date(minutes: int, least: float, most: float) -> None:
    """Retry-After is read where it is a date; one in the past means now."""
    when = datetime.now(UTC) + timedelta(minutes=minutes)
    error = error_for(429, retry_after=format_datetime(when, usegmt=True))

    assert isinstance(error, ReceiverUnavailable)
    assert error.retry_after is not None
    assert least <= error.retry_after <= most


def test_a_post_is_bounded_and_repeats_exactly() -> None:
    """Whatever the event holds, the body stays small, is plain ASCII JSON, and is the same at every attempt."""
    body = encode(_notification())

    assert body == encode(_notification())
    assert body.isascii()
    assert len(body) < 64_000
    assert json.loads(body)["time"] == "2026-01-01T12:30:00Z"


@pytest.mark.parametrize(
    "url",
    [
        f"ftp://user:{SECRET}@example.test/{SECRET}",
        f"javascript:{SECRET}",
        f"{SECRET}",
        f"https://user:{SECRET}@:443/{SECRET}",
        f"https://example.test:99999/{SECRET}",
        f"https://example.test:http/{SECRET}",
        f"http://[::1/{SECRET}",
        f"https://exa\x00mple.test/{SECRET}",
    ],
)
def test_a_wrong_url_is_said_once_in_the_log_and_on_every_alert(url: str) -> None:
    """A URL that cannot be used is an error in the log and a refusal on each alert; neither shows the URL."""
    with capture_logs() as logged:
        receiver = WebhookReceiver(url, allow_private=False, timeout=5, concurrency=1)
    with pytest.raises(ReceiverRejected) as refused:
        receiver.tell(_notification())

    assert [(entry["log_level"], entry["event"]) for entry in logged] == [("error", "webhook_unusable")]
    assert "SENTINEL_ALERT_WEBHOOK_URL" in refused.value.reason
    assert SECRET not in refused.value.reason + str(logged)
