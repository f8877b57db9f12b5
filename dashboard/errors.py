"""What goes wrong while reading: told as problems, and shown to browsers as pages of the usual layout."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from redis.exceptions import RedisError

from dashboard import rendering
from pipeline.errors import JournalUnavailable
from pipeline.http import Problem
from pipeline.storage.reading import TooSlow

_RETRY = {"Retry-After": "5"}
_WAYS_BACK = {
    "/api/uploads": ("/upload", "Back to the upload form"),
    "/events": ("/events", "Show all events"),
    "/alerts": ("/alerts", "Show all alerts"),
}


def error_page(request: Request, problem: Problem) -> Response:
    """Show a problem in the layout of the pages; what can heal by itself is asked for again."""
    context = {
        "section": "",
        "problem": problem,
        # A form that was posted is not asked for again without the person who posted it.
        "heals": problem.status == HTTPStatus.SERVICE_UNAVAILABLE and request.method in {"GET", "HEAD"},
        "way_back": _WAYS_BACK.get(request.url.path),
    }
    answer = rendering.page("error.html", context, status=problem.status)
    answer.headers.update(problem.headers)
    return answer


class ReadRoute(APIRoute):
    """A route that reads: what it reads from may be away, or have too much to say."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler of the route."""
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except TooSlow as error:
                raise Problem(503, "Too much at once", str(error), headers=_RETRY) from error
            except (RedisError, JournalUnavailable) as error:
                detail = "What it holds cannot be shown, and new events are refused, until it is back."
                raise Problem(503, "Redis is away", detail, headers=_RETRY) from error

        return answer
