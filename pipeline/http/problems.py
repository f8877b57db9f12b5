"""Errors as RFC 9457 ``application/problem+json``: what, where, how to cure it, and the request's id."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from pipeline.errors import JournalBusy, JournalFull, JournalUnavailable, LaneCrowded, StorageUnavailable
from pipeline.ids import InvalidId

MEDIA_TYPE = "application/problem+json"
Page = Callable[[Request, "Problem"], Response]


class Problem(Exception):
    """An answer that is an error. ``extra`` are further members of the problem, such as ``errors``."""

    def __init__(
        self, status: int, title: str, detail: str, *, headers: Mapping[str, str] | None = None, **extra: object
    ) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail
        self.headers, self.extra = dict(headers or {}), extra


def problem_response(request: Request, problem: Problem) -> Response:
    """Write a problem as JSON."""
    body = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": request.url.path,
        "request_id": request.scope.get("request_id", ""),
        **problem.extra,
    }
    return Response(msgspec.json.encode(body), problem.status, problem.headers, MEDIA_TYPE)


def answer(request: Request, problem: Problem, page: Page | None = None) -> Response:
    """Write a problem as a page where a person's browser wants one and there is one, else as JSON."""
    # A link to JSON shows JSON, whoever follows it; a form that a person posted leads to a page either way.
    is_page = not request.url.path.startswith("/api/") or request.method == "POST"
    return (
        page(request, problem)
        if page is not None and is_page and prefers_page(request)
        else problem_response(request, problem)
    )


def problem_of(error: Exception) -> Problem | None:
    """Return what an error is told as; None for one that nobody expects."""
    return next((TRANSLATIONS[kind](error) for kind in type(error).__mro__ if kind in TRANSLATIONS), None)


def prefers_page(request: Request) -> bool:
    """Say whether a request would rather have HTML than JSON, as a browser's own requests do."""
    accepted = request.headers.get("accept", "")
    html, json = accepted.find("text/html"), accepted.find("application/json")
    return html >= 0 and (json < 0 or html < json)


def _full(_: object) -> Problem:
    return Problem(
        503,
        "Redis is near its memory bound",
        "Events are arriving faster than they are judged, and Redis' memory is nearly full. Nothing of this request "
        "was taken; send it again after the time in Retry-After.",
        headers={"Retry-After": "5"},
        reason="redis_memory",
    )


def _busy(_: object) -> Problem:
    return Problem(
        503,
        "Too many posts are waiting",
        "Posts arrive faster than Redis writes them down. Nothing of this request was taken; send it again after the "
        "time in Retry-After.",
        headers={"Retry-After": "1"},
        reason="posts_waiting",
    )


def _crowded(_: object) -> Problem:
    return Problem(
        503,
        "Too many events wait to be judged",
        "Events arrive faster than they are judged. Nothing of this request was taken; send it again after the time in "
        "Retry-After.",
        headers={"Retry-After": "1"},
        reason="events_waiting",
    )


def _journal_away(_: object) -> Problem:
    return Problem(
        503,
        "Redis did not confirm",
        "The journal in Redis is not reachable, so the request is not acknowledged; send it again after the time in "
        "Retry-After.",
        headers={"Retry-After": "1"},
        reason="redis_away",
    )


def _storage_away(_: object) -> Problem:
    return Problem(
        503,
        "PostgreSQL is away",
        "Events are still accepted; verdicts can be read again when PostgreSQL is back.",
        headers={"Retry-After": "2"},
        reason="postgresql_away",
    )


def _not_found(_: object) -> Problem:
    return Problem(404, "Not found", "No such id was ever given out by this installation.")


def _from_http(error: HTTPException) -> Problem:
    title = HTTPStatus(error.status_code).phrase
    detail = error.detail if error.detail != title else f"{title}."
    return Problem(error.status_code, title, detail, headers=error.headers)


def _from_validation(error: RequestValidationError) -> Problem:
    errors = [
        {"pointer": "/" + "/".join(map(str, found["loc"])), "code": found["type"], "detail": found["msg"]}
        for found in error.errors()
    ]
    return Problem(422, "Unusable parameters", "; ".join(found["detail"] for found in errors), errors=errors)


TRANSLATIONS: Mapping[type[Any], Callable[[Any], Problem]] = {
    Problem: lambda problem: problem,
    HTTPException: _from_http,
    RequestValidationError: _from_validation,
    InvalidId: _not_found,
    JournalFull: _full,
    JournalBusy: _busy,
    LaneCrowded: _crowded,
    JournalUnavailable: _journal_away,
    StorageUnavailable: _storage_away,
}
"""How each kind of expected error is told, the nearest kind first."""
