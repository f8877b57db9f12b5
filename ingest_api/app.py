"""The ingestion API, for the app that serves it: its routes, and its guard."""

from urllib.parse import urlsplit

from fastapi import APIRouter

from ingest_api import batches, events, rejections, uploads
from ingest_api.state import IngestState
from pipeline.http import Edge, Guard, KeyRing


def add_routes(app: Edge, state: IngestState) -> None:
    """Add every route of the door to an app."""
    router = APIRouter()
    for module in (events, uploads, batches, rejections):
        router.include_router(module.make_router(state))
    app.include_router(router)
    app.express("POST", events.PATH, events.make_handler(state))


def make_guard(state: IngestState, ring: KeyRing) -> Guard:
    """Return the guard of this installation's door."""
    public = urlsplit(state.settings.public_url or "").hostname
    return Guard(
        ring,
        trusted_hosts=[public] if public else [],
        trust_network=state.settings.trust_network,
        may_be_open=state.settings.may_be_open,
    )
