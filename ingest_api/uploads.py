"""``/api/uploads``: take a file, say how far it is, and give back what was refused."""

import asyncio
import time
from uuid import UUID

import structlog
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from ingest_api.rates import client_of
from ingest_api.schema import UPLOAD_OPENAPI
from ingest_api.spooling import Spooled, spool
from ingest_api.state import IngestState
from pipeline.errors import JournalFull, PipelineError, QueueUnavailable
from pipeline.http import Problem
from pipeline.http.problems import prefers_page
from pipeline.ids import new_uuid, parse_uuid
from pipeline.journal import UPLOAD, Lane
from pipeline.queue import ring
from pipeline.storage import uploads


def make_router(state: IngestState) -> APIRouter:
    """Return the routes of uploads."""
    router = APIRouter(tags=["Uploads"])

    @router.post("/api/uploads", status_code=202, openapi_extra=UPLOAD_OPENAPI, summary="Upload a file")
    async def post_upload(request: Request) -> Response:
        """Take a ``.json`` file that holds one event object or an array of them; it is judged in the background."""
        client, chosen = client_of(request), state.settings
        state.rates.check(client)
        if state.pressure.is_high:
            raise JournalFull
        upload_id = new_uuid()
        spooled = await spool(
            request, state.spool, str(upload_id),
            most=chosen.max_upload_bytes, ratio=chosen.max_ratio, patience=state.patience,
        )  # fmt: skip
        await asyncio.to_thread(_open, state, upload_id, spooled)
        if prefers_page(request):
            return RedirectResponse(f"/uploads/{upload_id}", status_code=303)
        status_url = f"/api/uploads/{upload_id}"
        body = {"upload_id": str(upload_id), "status_url": status_url}
        return JSONResponse(body, 202, {"Location": status_url})

    @router.get("/api/uploads/{upload_id}", summary="How far an upload is")
    def get_upload(upload_id: str) -> Response:
        """Return the state of an upload and its counts."""
        found = uploads.status(state.engine, state.journal, parse_uuid(upload_id))
        if found is None:
            raise Problem(404, "Not found", "There is no upload of this id.")
        return JSONResponse(found.public())

    return router


def _open(state: IngestState, upload_id: UUID, spooled: Spooled) -> None:
    received_at = time.time_ns() // 1000
    try:
        stamp = state.journal.open_upload(
            str(upload_id), received_at, file_name=spooled.file_name, bytes_total=spooled.size, path=spooled.path.name
        )
    except PipelineError:
        spooled.path.unlink(missing_ok=True)
        raise
    try:
        ring(state.celery, Lane.BULK, [f"{UPLOAD}{upload_id}"], stamp)
    except QueueUnavailable as error:
        structlog.get_logger().warning("doorbell_deferred", upload_id=str(upload_id), error=str(error))
