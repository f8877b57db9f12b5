"""The ingestion API: its routes, and an app of its own for running it apart from the dashboard."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, FastAPI

from ingest_api import batches, events, rejections, uploads
from ingest_api.settings import IngestSettings
from ingest_api.state import IngestState, make_state
from pipeline.http import Guard, KeyRing, SecurityHeaders, install
from pipeline.journal import connect
from pipeline.queue import make_celery
from pipeline.settings import PipeSettings
from pipeline.storage import make_engine
from pipeline.telemetry import configure

# Two tries of this length, and what surrounds them, stay under the two seconds in which a client hears a 503.
_REDIS_PATIENCE = 0.75


def make_router(state: IngestState) -> APIRouter:
    """Return every route of the door."""
    router = APIRouter()
    for module in (events, uploads, batches, rejections):
        router.include_router(module.make_router(state))
    return router


def open_state(settings: IngestSettings, pipe: PipeSettings) -> IngestState:
    """Make the door's parts from settings; nothing is connected until it is used."""
    redis = connect(pipe.redis_url.get_secret_value(), timeout=_REDIS_PATIENCE)
    engine = make_engine(pipe.database_url.get_secret_value(), pool_size=4, application="sentinel-ingest")
    return make_state(settings, pipe, redis=redis, engine=engine, celery=make_celery(pipe, "ingest_api"))


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
        state.stop()

    app = FastAPI(
        title="MCP Sentinel",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        dependencies=[Depends(make_guard(state, ring))],
    )
    app.include_router(make_router(state))
    app.add_middleware(SecurityHeaders)
    install(app)
    return app
