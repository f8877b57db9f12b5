"""``/api/batches`` and ``/api/limits``: what became of a request, and what one may hold."""

from dataclasses import asdict

from fastapi import APIRouter

from ingest_api.body import LINE_TYPES
from ingest_api.coding import CODINGS
from ingest_api.repeating import KEPT_HOURS, MOST_CHARACTERS
from ingest_api.state import IngestState
from pipeline.http import Problem
from pipeline.http.protocol import HEAD_SECONDS, MOST_HEAD_BYTES
from pipeline.ids import BatchId
from pipeline.records import ID_CHARACTERS
from pipeline.storage import batches


def find(state: IngestState, batch_id: str) -> batches.BatchStatus:
    """Return how far a batch is.

    Raises:
        InvalidId: the text is no batch's id.
        Problem: 404, there is no such batch.
    """
    batch = BatchId.parse(batch_id)
    # A made-up number of chunks shows at the last of them, before tens of thousands are looked for.
    last = BatchId(batch.chunk_ids()[-1], 0, 1)
    known = batch.chunks == 1 or batches.status(state.engine, state.journal, last) is not None
    found = batches.status(state.engine, state.journal, batch) if known else None
    if found is None:
        raise Problem(404, "Not found", "There is no batch of this id.")
    return found


def make_router(state: IngestState) -> APIRouter:
    """Return the routes of batches and limits."""
    router = APIRouter(tags=["Events"])

    @router.get("/api/batches/{batch_id}", summary="What became of a request")
    def get_batch(batch_id: str) -> dict[str, object]:
        """Return the counts of what one request posted."""
        return asdict(find(state, batch_id))

    @router.get("/api/limits", summary="Limits in force")
    def get_limits() -> dict[str, object]:
        """Return every limit in force, under the name that errors and settings use."""
        chosen = state.settings
        return {
            "max_body_bytes": chosen.max_body_bytes,
            "max_events": chosen.max_events,
            "max_record_bytes": state.pipe.max_record_bytes,
            "max_depth": state.pipe.max_depth,
            "max_name_characters": state.pipe.max_name_characters,
            "max_upload_bytes": chosen.max_upload_bytes,
            "max_pending_bytes": chosen.max_pending_bytes,
            "backlog_bytes": chosen.backlog_bytes,
            "max_ratio": chosen.max_ratio,
            "head_bytes": MOST_HEAD_BYTES,
            "head_seconds": HEAD_SECONDS,
            "body_seconds": chosen.body_seconds,
            "rate_events": chosen.rate_events,
            "rate_burst": chosen.rate_burst,
            "id_characters": ID_CHARACTERS,
            "idempotency_key_characters": MOST_CHARACTERS,
            "idempotency_hours": KEPT_HOURS,
            "idempotency_bytes": chosen.idempotency_bytes,
            "earliest_timestamp": "1970-01-01T00:00:00Z",
            "latest_timestamp": "2099-12-31T23:59:59Z",
            "content_types": ["application/json", *LINE_TYPES],
            "content_encodings": list(CODINGS),
        }

    return router
