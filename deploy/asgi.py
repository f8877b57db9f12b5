"""One origin: the ingestion API and the dashboard in one process, as ``sentinel up`` starts them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.responses import JSONResponse

from dashboard import app as dashboard
from dashboard.errors import error_page
from dashboard.state import DashboardState
from deploy.settings import LauncherSettings
from ingest_api import app as ingest
from ingest_api.settings import IngestSettings
from ingest_api.state import open_state
from pipeline import health
from pipeline.http import Edge, KeyRing
from pipeline.http.protocol import raise_descriptors
from pipeline.journal import connect
from pipeline.rules import Rules
from pipeline.settings import PipeSettings
from pipeline.storage import make_engine
from pipeline.telemetry import configure


def create_app() -> FastAPI:
    """Make the app from the environment's settings."""
    settings, pipe = IngestSettings(), PipeSettings()
    configure(pipe)
    raise_descriptors()
    door = open_state(settings, pipe)
    rules = Rules(pipe)
    reading = _reading(settings, pipe, rules)
    ring = KeyRing(door.engine, door.redis)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        ring.start()
        door.start()
        rules.follow(health.rules_teller(reading.redis, "api"))
        yield
        rules.stop()
        await door.stop()
        ring.stop()

    app = Edge(
        ingest.make_guard(door, ring),
        page=error_page,
        title="MCP Sentinel",
        version="0.1.0",
        description="Send events, follow what became of them, and read verdicts.",
        lifespan=lifespan,
    )
    ingest.add_routes(app, door)
    app.include_router(dashboard.make_router(reading))
    app.add_api_route("/openapi.json", lambda: JSONResponse(app.openapi()), include_in_schema=False)
    return app


def _reading(settings: IngestSettings, pipe: PipeSettings, rules: Rules) -> DashboardState:
    return DashboardState(
        engine=make_engine(pipe.database_url.get_secret_value(), pool_size=4, application="sentinel-dashboard"),
        redis=connect(pipe.redis_url.get_secret_value(), timeout=1.5),
        rules=lambda: rules.rule_set,
        settings=pipe,
        public_url=settings.public_url,
        flower_url=LauncherSettings().flower_url,
    )
