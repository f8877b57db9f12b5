"""The outermost layer: a request id for every answer, and headers that keep hostile content harmless."""

import secrets

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.http.problems import Problem, problem_response

_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


_UNEXPECTED = Problem(
    500, "Unexpected error", "This is a fault of the server. Its log has the details under the request id."
)


def begin(scope: Scope) -> str:
    """Give a request its id, which its answer and the log name."""
    request_id: str = secrets.token_hex(8)
    scope["request_id"] = request_id
    return request_id


def secure(headers: list[tuple[bytes, bytes]], request_id: str) -> None:
    """Add the request's id to an answer's headers, and what keeps it harmless, unless it says so itself."""
    given = {name for name, _ in headers}
    headers.append((b"x-request-id", request_id.encode()))
    headers.extend(header for header in _HEADERS if header[0] not in given)


def failed(scope: Scope, error: Exception) -> Problem:
    """Write an error that nobody expected into the log. Returns what the client is told."""
    structlog.get_logger().error("unexpected_error", path=scope["path"], request_id=scope["request_id"], exc_info=error)
    return _UNEXPECTED


class SecurityHeaders:
    """ASGI middleware that adds ``X-Request-Id`` and the security headers, and answers what nobody else did."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap ``app``."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, begun = begin(scope), False
        structlog.contextvars.bind_contextvars(request_id=request_id)

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = headers = list(message.get("headers", ()))
                secure(headers, request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            if begun:
                raise
            await problem_response(Request(scope), failed(scope, error))(scope, receive, send_with_headers)
