"""The pages about what is under way: uploads, and the pipeline itself."""

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from redis.exceptions import RedisError

from dashboard import guide
from dashboard.errors import ReadRoute
from dashboard.state import DashboardState
from pipeline import health
from pipeline.errors import JournalUnavailable, StorageUnavailable
from pipeline.http import Problem
from pipeline.ids import parse_uuid
from pipeline.journal import Journal
from pipeline.records import REQUIRED
from pipeline.storage import dead_letters, reading, uploads
from pipeline.storage.dead_letters import DeadLetter
from pipeline.storage.uploads import UploadStatus

_RECENT = 20
_DEAD_LETTERS = 50


def make_router(state: DashboardState) -> APIRouter:
    """Make the routes of these pages."""
    router = APIRouter(route_class=ReadRoute, include_in_schema=False)
    pages = OperationPages(state)
    router.add_api_route("/upload", pages.upload, methods=["GET", "HEAD"])
    router.add_api_route("/uploads/{upload_id}", pages.progress, methods=["GET", "HEAD"])
    router.add_api_route("/pipeline", pages.pipeline, methods=["GET", "HEAD"])
    return router


class OperationPages:
    """The pages of one dashboard about what is under way."""

    def __init__(self, state: DashboardState) -> None:
        self._state = state
        self._journal = Journal(state.redis)

    def upload(self, request: Request) -> Response:
        """Show the form, what a file must hold, how events are posted instead, and what flags one."""
        return self._state.page(
            "upload.html",
            section="upload",
            examples=guide.examples(),
            required=REQUIRED,
            curl=self._state.curl(request),
            criteria=guide.criteria(self._state.rule_set.rules),
            recent=self._recent(),
        )

    def progress(self, upload_id: str) -> Response:
        """Show how far an upload has come."""
        found = uploads.status(self._state.engine, self._journal, parse_uuid(upload_id))
        if found is None:
            raise Problem(404, f"There is no upload {upload_id}", "It never was, or is not kept any more.")
        return self._state.page("progress.html", section="upload", upload=found)

    def pipeline(self) -> Response:
        """Show queues, ledger, workers and dead letters."""
        status = health.pipeline_status(self._state.redis, self._state.engine)
        return self._state.page(
            "pipeline.html",
            section="pipeline",
            status=status,
            dead_letters=self._dead_letters(),
            flower_url=self._state.flower_url,
        )

    def _recent(self) -> Sequence[UploadStatus] | None:
        # The form is of use while the list is not to be had.
        try:
            return uploads.listing(self._state.engine, self._journal, limit=_RECENT)
        except (StorageUnavailable, JournalUnavailable, RedisError):
            return None

    def _dead_letters(self) -> Sequence[DeadLetter] | None:
        try:
            with reading.snapshot(self._state.engine) as connection:
                return dead_letters.listing(connection, limit=_DEAD_LETTERS, largest=0)
        except (StorageUnavailable, reading.TooSlow):
            return None
