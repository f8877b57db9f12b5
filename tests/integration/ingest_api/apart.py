"""The door in an app of its own, apart from the dashboard."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from ingest_api.app import add_routes, make_guard
from ingest_api.settings import IngestSettings
from ingest_api.state import open_state
from pipeline.http import Edge, KeyRing
from pipeline.settings import PipeSettings
from pipeline.telemetry import configure


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
