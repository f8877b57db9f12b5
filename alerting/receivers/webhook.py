"""Posts each alert as a CloudEvents 1.0 event, in structured JSON mode, to one URL."""

import base64
import json
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import ClassVar, Self
from urllib.parse import unquote_to_bytes

import httpcore2
import httpx2
import structlog

from alerting.dial import AddressRefused, Dialer, NameNotFound
from alerting.receivers._base import (
    Announcement,
    IncidentNotification,
    Notification,
    Receiver,
    ReceiverError,
    ReceiverRejected,
    ReceiverUnavailable,
)
from alerting.settings import AlertSettings
from pipeline.times import rfc3339

_PORTS = {"http": 80, "https": 443}
_HIGHEST_PORT = 65535
_LATER = frozenset({408, 425, 429})  # the server's own words for "not now"
_ANSWER_BYTES = 4096
_ANSWER_SHOWN = 200
_LONGEST_VALUE = 1000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Target:
    url: httpcore2.URL
    authorization: str | None


class WebhookReceiver(Receiver):
    """Posts to ``SENTINEL_ALERT_WEBHOOK_URL``. The URL may hold credentials, so it is never shown nor logged."""

    name: ClassVar[str] = "webhook"

    def __init__(self, url: str, *, allow_private: bool, timeout: float, concurrency: int) -> None:
        self._allow_private = allow_private
        self._timeout = timeout
        self._concurrency = concurrency
        self._target = _parse(url)
        if isinstance(self._target, str):
            log.error("webhook_unusable", reason=self._target)
        # Loading the certificate store takes longer than a whole attempt, so it is done once.
        self._tls = httpx2.create_ssl_context()

    @classmethod
    def from_settings(cls, settings: AlertSettings) -> Self | None:
        """Make the receiver when a URL is set, even a wrong one: then every alert says what is wrong with it."""
        url = settings.alert_webhook_url.get_secret_value().strip() if settings.alert_webhook_url else ""
        if not url:
            return None
        return cls(
            url,
            allow_private=settings.alert_allow_private,
            timeout=settings.alert_timeout_seconds,
            concurrency=settings.alert_concurrency,
        )

    @property
    def concurrency(self) -> int:
        """How many posts may be under way."""
        return self._concurrency

    def tell(self, notification: Announcement) -> str:
        """Post the alert, and read a bounded part of the answer.

        Raises:
            ReceiverUnavailable: no connection, no answer in time, or an answer that says "later".
            ReceiverRejected: any other answer than success, a wrong URL, or an address that is off limits.
        """
        if isinstance(self._target, str):
            raise ReceiverRejected(self._target)
        try:
            status, retry_after, answer = self._post(self._target, notification)
        except AddressRefused as error:
            raise ReceiverRejected(str(error)) from error
        except NameNotFound as error:
            raise ReceiverUnavailable(str(error)) from error
        except httpcore2.TimeoutException as error:
            raise ReceiverUnavailable(f"no answer within {self._timeout:g} s") from error
        except httpcore2.NetworkError as error:
            raise ReceiverUnavailable(f"no connection: {_printable(str(error))}") from error
        except httpcore2.ProtocolError as error:
            raise ReceiverUnavailable(f"no HTTP answer: {_printable(str(error))}") from error
        if status in range(200, 300):
            return f"HTTP {status}"
        raise error_for(status, retry_after=retry_after, answer=answer)

    def _post(self, target: _Target, notification: Announcement) -> tuple[int, str | None, str]:
        headers = [
            ("Content-Type", "application/cloudevents+json"),
            ("Idempotency-Key", notification.alert_id),
            ("User-Agent", "mcp-sentinel"),
            *([("Authorization", target.authorization)] if target.authorization else []),
        ]
        # One connection per alert: threads share nothing, and the address is checked each time.
        dialer = Dialer(allow_private=self._allow_private, ends=time.monotonic() + self._timeout)
        with (
            httpcore2.ConnectionPool(ssl_context=self._tls, network_backend=dialer) as pool,
            pool.stream("POST", target.url, headers=headers, content=encode(notification)) as response,
        ):
            retry_after = next((value.decode("latin-1") for name, value in response.headers if _is_retry(name)), None)
            success = response.status in range(200, 300)
            return response.status, retry_after, "" if success else _beginning(response)


def encode(notification: Announcement) -> bytes:
    """Return the CloudEvents event of an alert: byte for byte the same at every attempt."""
    if isinstance(notification, IncidentNotification):
        kind, subject, data = "sentinel.incident", notification.incident_id, _incident(notification)
    else:
        kind, subject, data = "sentinel.alert", notification.event_id, _alert(notification)
    event = {
        "specversion": "1.0",
        "id": notification.alert_id,
        "source": notification.source,
        "type": kind,
        "subject": subject,
        "time": rfc3339(notification.created_at),
        "datacontenttype": "application/json",
        "data": data,
    }
    return json.dumps(event, separators=(",", ":")).encode("ascii")


def _alert(notification: Notification) -> dict[str, object]:
    return {
        "event_id": notification.event_id,
        "severity": notification.severity,
        "rule_ids": list(notification.rule_ids),
        "title": notification.title,
        "url": notification.url,
        "user": notification.user[:_LONGEST_VALUE],
        "agent": notification.agent[:_LONGEST_VALUE],
        "tool": notification.tool[:_LONGEST_VALUE],
        "findings": [
            {**asdict(finding), "excerpt": finding.excerpt[:_LONGEST_VALUE]} for finding in notification.findings
        ],
        "findings_total": notification.findings_total,
    }


def _incident(notification: IncidentNotification) -> dict[str, object]:
    return {
        "incident_id": notification.incident_id,
        "state": notification.state,
        "kind": notification.kind,
        "subject": notification.subject,
        "severity": notification.severity,
        "title": notification.title,
        "detail": notification.detail,
        "cure": notification.cure,
        "opened_at": rfc3339(notification.opened_at),
        "ended_at": rfc3339(notification.ended_at),
        "url": notification.url,
    }


def error_for(status: int, *, retry_after: str | None = None, answer: str = "") -> ReceiverError:
    """Return what an answer that is not a success means: later, or never.

    Args:
        status: the answer's status; a redirect is a refusal, for none is followed.
        retry_after: the answer's ``Retry-After``, as it came.
        answer: the beginning of its body, printable.
    """
    reason = f"HTTP {status}: {answer}" if answer else f"HTTP {status}"
    if status in _LATER or status >= 500:  # noqa: PLR2004 - the class of server errors
        return ReceiverUnavailable(reason, retry_after=_seconds(retry_after))
    if status in range(300, 400):
        return ReceiverRejected(f"HTTP {status}: redirects are not followed")
    return ReceiverRejected(reason)


def _parse(raw: str) -> _Target | str:
    """Return where to post, or what is wrong with the URL, without showing it."""
    name = "SENTINEL_ALERT_WEBHOOK_URL"
    try:
        url = httpx2.URL(raw)
    except httpx2.InvalidURL:
        return f"{name} is not a URL"
    if url.scheme not in _PORTS:
        return f"{name} must begin with http:// or https://"
    if not url.host:
        return f"{name} names no host"
    port = url.port or _PORTS[url.scheme]
    if port > _HIGHEST_PORT:
        return f"{name} has a port above {_HIGHEST_PORT}"
    credentials = base64.b64encode(unquote_to_bytes(url.userinfo)).decode("ascii") if url.userinfo else None
    return _Target(
        httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        f"Basic {credentials}" if credentials else None,
    )


def _is_retry(name: bytes) -> bool:
    return name.lower() == b"retry-after"


def _seconds(retry_after: str | None) -> float | None:
    """Return how long a ``Retry-After`` asks to wait, whether it is a number or a date."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal() and retry_after.isascii():
        return float(retry_after)
    try:
        when = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _beginning(response: httpcore2.Response) -> str:
    """Return the first words of an answer, and read no more of it than that."""
    body = b""
    for part in response.iter_stream():
        body += part
        if len(body) >= _ANSWER_BYTES:
            break
    return _printable(body[:_ANSWER_BYTES].decode("utf-8", "replace"))


def _printable(text: str) -> str:
    words = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return words[:_ANSWER_SHOWN]


RECEIVER = WebhookReceiver
