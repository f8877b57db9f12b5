"""Refused records, of an upload or of a batch: listed with their reasons, and given back as a file to correct."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from sqlalchemy import Engine
from starlette.responses import Response, StreamingResponse

from ingest_api import batches
from ingest_api.state import IngestState
from pipeline.chunk import RejectedRecord
from pipeline.http import Problem
from pipeline.ids import parse_uuid
from pipeline.storage import rejections, transaction, uploads
from pipeline.storage.batches import BatchState

_PIECE = 1 << 20
_MOST_SHOWN = 100_000


def make_router(state: IngestState) -> APIRouter:
    """Return the routes that show refused records."""
    router = APIRouter(tags=["Rejected records"])

    def upload_source(upload_id: str) -> str:
        found = parse_uuid(upload_id)
        if uploads.status(state.engine, state.journal, found) is None:
            raise Problem(404, "Not found", "There is no upload of this id.")
        return str(found)

    def batch_source(batch_id: str) -> str:
        found = batches.find(state, batch_id)
        if found.state is not BatchState.DONE:
            # Refused records are written down with the verdicts: before that an empty list would be a false one.
            raise Problem(
                409, "Not judged yet", "What was rejected can be read when every event of the batch is settled.",
                headers={"Retry-After": "1"},
            )  # fmt: skip
        return found.batch_id

    _add(router, state, "/api/uploads/{source_id}", upload_source)
    _add(router, state, "/api/batches/{source_id}", batch_source)
    return router


def _add(router: APIRouter, state: IngestState, base: str, resolve: Callable[[str], str]) -> None:
    @router.get(f"{base}/rejections", summary="Rejected records")
    def get_rejections(
        request: Request,
        source_id: str,
        after: Annotated[int, Query(ge=-1, description="Show what comes behind this index.")] = -1,
        limit: Annotated[int, Query(ge=1, le=200)] = 100,
    ) -> Response:
        """Return rejected records with their reasons, in order; the header ``Link`` leads to the next page."""
        source = resolve(source_id)
        with transaction(state.engine) as connection:
            found = rejections.page(connection, source, after=after, limit=limit, largest=_MOST_SHOWN)
        headers = {}
        if len(found) == limit:
            headers["Link"] = f'<{request.url.path}?after={found[-1].index}&limit={limit}>; rel="next"'
        return Response(msgspec.json.encode([_shown(record) for record in found]), 200, headers, "application/json")

    @router.get(f"{base}/rejected.json", summary="Rejected records as a file")
    def get_rejected_file(source_id: str) -> Response:
        """Return the rejected records alone, as an array that can be corrected and uploaded as it is."""
        source = resolve(source_id)
        headers = {"Content-Disposition": 'attachment; filename="rejected.json"'}
        return StreamingResponse(_file(state.engine, state.spool, source), 200, headers, "application/json")


def _shown(record: RejectedRecord) -> dict[str, object]:
    return {
        "index": record.index,
        "byte_offset": record.byte_offset,
        "pointer": record.pointer,
        "code": record.code,
        "detail": record.detail,
        "record": _json_or_text(record.record),
    }


def _json_or_text(raw: bytes | None) -> object:
    if raw is None or len(raw) > _MOST_SHOWN:
        return None
    try:
        text = raw.decode()
        msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return raw.decode(errors="replace")
    return msgspec.Raw(text.encode())


def _file(engine: Engine, spool: Path, source: str) -> Iterator[bytes]:
    after, before = -1, b"[\n"
    while True:
        with transaction(engine) as connection:
            records = rejections.page(connection, source, after=after, limit=20)
        if not records:
            break
        for record in records:
            yield before
            yield from _bytes(record, spool)
            before, after = b",\n", record.index
    yield b"\n]\n" if after >= 0 else b"[]\n"


def _bytes(record: RejectedRecord, spool: Path) -> Iterator[bytes]:
    if record.record is not None:
        yield record.record
        return
    with (spool / (record.spooled or "")).open("rb") as kept:
        while piece := kept.read(_PIECE):
            yield piece
