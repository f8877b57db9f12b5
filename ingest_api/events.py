"""``POST /api/events``: one event, an array of them, or one a line."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from ingest_api import body as bodies
from ingest_api import repeating
from ingest_api.accept import Repeated
from ingest_api.coding import coding_of, unpacked
from ingest_api.packing import Keyed, Placed, Post
from ingest_api.parse import Parsed
from ingest_api.rates import client_of
from ingest_api.schema import EVENTS_OPENAPI
from ingest_api.state import IngestState
from ingest_api.understanding import shown, understand
from pipeline.chunk import AcceptedEvent, RejectedRecord, encode_event
from pipeline.errors import JournalFull
from pipeline.http import Problem
from pipeline.journal import Lane

PATH = "/api/events"
_LIVE_EVENTS = 500
_LARGE_BODY = 50_000
_flag = TypeAdapter(bool)


def make_router(state: IngestState) -> APIRouter:
    """Return the route that takes events, as FastAPI documents it; requests are served by the handler itself."""
    router = APIRouter(tags=["Events"])
    handle = make_handler(state)

    @router.post(PATH, status_code=202, openapi_extra=EVENTS_OPENAPI, summary="Send events")
    async def post_events(
        request: Request,
        atomic: Annotated[bool, Query(description="Take all of the events or none.")] = False,  # noqa: FBT002
    ) -> Response:
        """Take one event object, an array of them, or one a line; the answer comes when they are on disk."""
        del atomic  # the handler reads it itself
        return await handle(request)

    return router


def make_handler(state: IngestState) -> Callable[[Request], Awaitable[Response]]:
    """Return what serves ``POST /api/events``."""
    return _Handler(state).handle


class _Handler:
    """Reads the body, understands it, makes it ours, and writes the receipt."""

    def __init__(self, state: IngestState) -> None:
        self._state = state

    async def handle(self, request: Request) -> Response:
        state = self._state
        atomic, kind = _is_atomic(request), bodies.kind_of(request)
        coding = coding_of(", ".join(request.headers.getlist("content-encoding")))
        name = repeating.name_of(request)
        client = client_of(request)
        state.rates.check(client)
        if state.pressure.is_high:
            raise JournalFull
        with state.room.enter(client) as place:
            body = await bodies.read(request, most=state.settings.max_body_bytes, patience=state.patience, place=place)
            received_at = time.time_ns() // 1000
            if coding != "identity":
                body = await asyncio.to_thread(unpacked, body, coding, state.bounds)
                place.grow(max(0, len(body) - place.size))

            def understood() -> tuple[Parsed, Post]:
                parsed = understand(body, kind, state, atomic=atomic)
                return parsed, _post(parsed, received_at)

            # Other requests go on while a large one is read.
            parsed, post = await asyncio.to_thread(understood) if len(body) > _LARGE_BODY else understood()
            if name is None:
                return await self._accept(client, post, parsed)
            with state.keys.running(name):
                post.keyed = Keyed(name, lambda placed: repeating.kept(body, _receipt(placed, parsed)))
                try:
                    return await self._accept(client, post, parsed)
                except Repeated as before:
                    return repeating.answer_again(before.receipt, body)

    async def _accept(self, client: str, post: Post, parsed: Parsed) -> Response:
        rates = self._state.rates
        self._state.pressure.admit(post.lane)
        rates.charge(client, len(parsed.events))
        try:
            placed = await self._state.acceptor.accept(post)
        except BaseException:  # what was not taken costs nothing
            rates.refund(client, len(parsed.events))
            raise
        answer = repeating.accepted(_receipt(placed, parsed), f"/api/batches/{placed.batch_id}", len(parsed.refused))
        answer.raw_headers += [(name.lower().encode(), text.encode()) for name, text in rates.headers(client).items()]
        return answer


def _is_atomic(request: Request) -> bool:
    if not request.scope["query_string"]:
        return False
    text = request.query_params.get("atomic", "false")
    try:
        return _flag.validate_strings(text)
    except ValidationError:
        errors = [
            {
                "pointer": "/query/atomic",
                "code": "bool_parsing",
                "detail": f"atomic is true or false, not {text[:40]!r}",
            }
        ]
        raise Problem(422, "Unusable parameters", str(errors[0]["detail"]), errors=errors) from None


def _post(parsed: Parsed, received_at: int) -> Post:
    def refuse(batch_id: str) -> list[RejectedRecord]:
        return [
            RejectedRecord(batch_id, found.index, found.pointer, found.code, found.detail, None, found.record)
            for found in parsed.refused
        ]

    lane = Lane.REALTIME if len(parsed.events) <= _LIVE_EVENTS else Lane.BULK
    events = [encode_event(AcceptedEvent(received_at, event)) for event in parsed.events if event is not None]
    return Post(lane, events, refuse, len(parsed.refused), sum(len(found.record) for found in parsed.refused))


def _receipt(placed: Placed, parsed: Parsed) -> bytes:
    batch_id = str(placed.batch_id)
    status_url = f"/api/batches/{batch_id}"
    ids = placed.event_ids()
    receipt = {
        "batch_id": batch_id,
        "accepted": placed.batch_id.count,
        "rejected": len(parsed.refused),
        "status_url": status_url,
        "event_ids": [None if event is None else next(ids) for event in parsed.events],
        "errors": shown(parsed.refused),
    }
    if parsed.refused:
        receipt["rejections_url"] = f"{status_url}/rejections"
    return msgspec.json.encode(receipt)
