"""The ingestion API: its routes, and an app of its own for running it apart from the dashboard."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI

from ingest_api import batches, events, rejections, uploads
from ingest_api.settings import IngestSettings
from ingest_api.state import IngestState, make_state
from pipeline.http import Edge, Guard, KeyRing
from pipeline.intake import Intake
from pipeline.journal import connect
from pipeline.queue import doorbell, make_celery
from pipeline.settings import PipeSettings
from pipeline.storage import make_engine
from pipeline.telemetry import configure

# Two tries of this length, and what surrounds them, stay under the two seconds in which a client hears a 503.
_REDIS_PATIENCE = 0.75


def add_routes(app: Edge, state: IngestState) -> None:
    """Add every route of the door to an app."""
    router = APIRouter()
    for module in (events, uploads, batches, rejections):
        router.include_router(module.make_router(state))
    app.include_router(router)
    app.express("POST", events.PATH, events.make_handler(state))


def open_state(settings: IngestSettings, pipe: PipeSettings) -> IngestState:
    """Make the door's parts from settings; nothing is connected until it is used."""
    redis = connect(pipe.redis_url.get_secret_value(), timeout=_REDIS_PATIENCE)
    engine = make_engine(pipe.database_url.get_secret_value(), pool_size=4, application="sentinel-ingest")
    celery = make_celery(pipe, "ingest_api")
    intake = Intake(
        pipe.redis_url.get_secret_value(), doorbell(celery),
        timeout=_REDIS_PATIENCE, receipt_bytes=settings.idempotency_bytes,
    )  # fmt: skip
    return make_state(settings, pipe, redis=redis, intake=intake, engine=engine, celery=celery)


def make_guard(state: IngestState, ring: KeyRing) -> Guard:
    """Return the guard of this installation's door."""
    public = urlsplit(state.settings.public_url or "").hostname
    return Guard(
        ring,
        trusted_hosts=[public] if public else [],
        trust_network=state.settings.trust_network,
        may_be_open=state.settings.may_be_open,
    )


def create_app() -> FastAPI:
    """Make the app that runs the door alone."""
    settings, pipe = IngestSettings(), PipeSettings()
    configure(pipe)
    state = open_state(settings, pipe)
    ring = KeyRing(state.engine, state.redis)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        ring.start()
        state.start()
        yield
        ring.stop()
        await state.stop()

    app = Edge(make_guard(state, ring), title="MCP Sentinel", lifespan=lifespan)
    add_routes(app, state)
    return app
