"""The app behind which every edge stands: guarded, with problems for errors, and with express routes.

FastAPI's own way to a function costs three times what uvicorn does. A route that has to be fast is also entered as an
*express* route: a request for it goes straight to its handler, past middlewares, dependencies and exception handlers,
and meets the same guard, the same headers and the same problems here. The ordinary route stays, for the documentation.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Depends, FastAPI, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pipeline.http.guard import Guard
from pipeline.http.headers import SecurityHeaders, begin, failed, secure
from pipeline.http.problems import TRANSLATIONS, Page, answer, problem_of

Serve = Callable[[Request], Awaitable[Response]]


class Edge(FastAPI):
    """A FastAPI app; ``page`` shows a problem to a person's browser, and JSON is used where it is None."""

    def __init__(self, guard: Guard, *, page: Page | None = None, **about: Any) -> None:  # noqa: ANN401 - FastAPI's own
        super().__init__(docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(guard)], **about)
        self._guard, self._page = guard, page
        self._express: dict[tuple[str, str], Serve] = {}
        self.add_middleware(SecurityHeaders)
        for kind in TRANSLATIONS:
            self.add_exception_handler(kind, self._answer)

    def express(self, method: str, path: str, serve: Serve) -> None:
        """Serve a route directly; ``serve`` gets what the guard let pass, and may raise what any route may."""
        self._express[method, path] = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or what else the server has to say."""
        serve = self._express.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if serve is None:
            await super().__call__(scope, receive, send)
            return
        request_id, request = begin(scope), Request(scope, receive)
        try:
            self._guard.admit(request)
            response = await serve(request)
        except Exception as error:  # noqa: BLE001 - the outermost layer: whatever it is, the client gets an answer
            problem = problem_of(error) or failed(scope, error)
            response = answer(request, problem, self._page)
        secure(response.raw_headers, request_id)
        await response(scope, receive, send)

    async def _answer(self, request: Request, error: Exception) -> Response:
        problem = problem_of(error)
        assert problem is not None  # noqa: S101 - this handler is installed for these kinds alone
        return answer(request, problem, self._page)
