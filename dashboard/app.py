"""The dashboard: its routes for whoever composes them, and an application of its own."""

from fastapi import APIRouter, FastAPI

from dashboard import accounting, api, assets, health, operation, reference, views
from dashboard.errors import error_page
from dashboard.state import DashboardState
from pipeline.http import Edge, Guard


def make_router(state: DashboardState) -> APIRouter:
    """Make all routes of the dashboard: pages, read endpoints and static files."""
    router = APIRouter()
    router.include_router(assets.make_router())
    for module in (api, views, operation, reference, accounting, health):
        router.include_router(module.make_router(state))
    return router


def create_app(state: DashboardState, guard: Guard) -> FastAPI:
    """Make an application of the dashboard alone; the guard says who may speak to it."""
    app = Edge(guard, page=error_page, title="MCP Sentinel dashboard")
    app.include_router(make_router(state))
    return app
