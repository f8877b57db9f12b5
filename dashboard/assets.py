"""The static files: read once, served under a name that changes with their content."""

import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request, Response

from pipeline.http import Problem

FOLDER = Path(__file__).parent / "static"
_FOR_EVER = "public, max-age=31536000, immutable"
_CHECK_FIRST = "no-cache"
_NOT_MODIFIED = 304


@dataclass(frozen=True, slots=True)
class Asset:
    """One static file."""

    content: bytes
    media_type: str
    digest: str


@cache
def assets() -> Mapping[str, Asset]:
    """Read every file of the folder."""
    return {path.name: _read(path) for path in sorted(FOLDER.iterdir()) if path.is_file()}


def url_of(name: str) -> str:
    """Return the URL under which a file may be cached for ever.

    Raises:
        KeyError: there is no such file.
    """
    return f"/static/{name}?v={assets()[name].digest}"


def make_router() -> APIRouter:
    """Make the routes of the static files."""
    router = APIRouter(include_in_schema=False)
    router.add_api_route("/static/{name}", serve, methods=["GET", "HEAD"])
    router.add_api_route("/favicon.ico", favicon, methods=["GET", "HEAD"])
    return router


def serve(name: str, request: Request, v: str = "") -> Response:
    """Answer with a static file."""
    asset = assets().get(name)
    if asset is None:
        raise Problem(404, "Not found", "There is no such file.")
    tag = f'"{asset.digest}"'
    headers = {"ETag": tag, "Cache-Control": _FOR_EVER if v == asset.digest else _CHECK_FIRST}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=_NOT_MODIFIED, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)


def favicon(request: Request) -> Response:
    """Answer browsers that look for the icon where none of our pages says it is."""
    return serve("favicon.svg", request)


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Asset(content, media_type, hashlib.sha256(content).hexdigest()[:16])
