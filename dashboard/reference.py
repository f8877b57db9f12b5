"""The page about the HTTP interface, drawn from the application's own OpenAPI description."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response

from dashboard.errors import ReadRoute
from dashboard.state import DashboardState

_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    summary: str
    description: str
    parameters: Sequence[Mapping[str, Any]]
    media_types: Sequence[str]
    examples: Sequence[tuple[str, str]]
    answers: Mapping[str, str]

    @property
    def anchor(self) -> str:
        """What links to it on the page."""
        return f"{self.method}-{self.path.strip('/').translate(str.maketrans('/_', '--', '{}'))}"


def make_router(state: DashboardState) -> APIRouter:
    """Make the route of the page."""
    router = APIRouter(route_class=ReadRoute, include_in_schema=False)

    def show(request: Request) -> Response:
        """Show every operation that this installation offers."""
        groups: dict[str, list[Operation]] = {}
        for tag, operation in _operations(request.app.openapi()):
            groups.setdefault(tag, []).append(operation)
        return state.page("reference.html", section="docs", groups=groups, curl=state.curl(request))

    router.add_api_route("/docs", show, methods=["GET", "HEAD"])
    return router


def _operations(description: Mapping[str, Any]) -> Iterator[tuple[str, Operation]]:
    for path, methods in description["paths"].items():
        for method in _METHODS:
            if (found := methods.get(method)) is not None:
                tag = next(iter(found.get("tags", [])), "Other")
                yield str(tag).capitalize(), _operation(method, path, found)


def _operation(method: str, path: str, found: Mapping[str, Any]) -> Operation:
    content = found.get("requestBody", {}).get("content", {})
    return Operation(
        method=method,
        path=path,
        summary=found.get("summary", ""),
        description=found.get("description", ""),
        parameters=found.get("parameters", []),
        media_types=list(content),
        examples=[example for body in content.values() for example in _examples(body)],
        answers={status: answer.get("description", "") for status, answer in found.get("responses", {}).items()},
    )


def _examples(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, example in body.get("examples", {}).items():
        value = example.get("value")
        yield example.get("summary", name), value if isinstance(value, str) else json.dumps(value, indent=2)
