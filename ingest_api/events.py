"""``POST /api/events``: one event, or an array of them."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from ingest_api import body as bodies
from ingest_api.packing import Placed, Post
from ingest_api.parse import EmptyBody, Parsed, Refused, TooDeep, WrongShape, parse, split
from ingest_api.schema import EVENTS_OPENAPI
from ingest_api.state import IngestState
from pipeline.chunk import AcceptedEvent, RejectedRecord, encode_event
from pipeline.http import Answer, Problem
from pipeline.http.problems import full
from pipeline.journal import Lane
from pipeline.plain import plain_event
from pipeline.records import NotJson

PATH = "/api/events"
_FIRST_ERRORS = 100
_LIVE_EVENTS = 500
_LARGE_BODY = 50_000
_LIMITS = {"too_large": "max_record_bytes", "too_deep": "max_depth", "too_long": "max_name_characters"}
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
        """Take one event object, or an array of them; the answer comes when they are on disk."""
        del atomic  # the handler reads it itself
        return await handle(request)

    return router


def make_handler(state: IngestState) -> Callable[[Request], Awaitable[Response]]:
    """Return what serves ``POST /api/events``: read the body, understand it, make it ours, write the receipt."""

    async def handle(request: Request) -> Response:
        atomic = _is_atomic(request)
        bodies.require_json(request)
        if state.pressure.is_high:
            raise full()
        body = await bodies.read(request, most=state.settings.max_body_bytes, limit="max_body_bytes")
        parsed, post = await _understand(body, state, atomic=atomic)
        state.pressure.admit(post.lane)
        return _receipt(await state.acceptor.accept(post), parsed)

    return handle


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


async def _understand(body: bytes, state: IngestState, *, atomic: bool) -> tuple[Parsed, Post]:
    received_at = time.time_ns() // 1000

    def understood() -> tuple[Parsed, Post]:
        parsed = _parsed(body, state)
        _refuse_if_useless(parsed, atomic=atomic)
        return parsed, _post(parsed, received_at)

    # Other requests go on while a large one is read.
    return await asyncio.to_thread(understood) if len(body) > _LARGE_BODY else understood()


def _parsed(body: bytes, state: IngestState) -> Parsed:
    limits = state.pipe.record_limits
    if len(body) <= limits.max_bytes and (event := plain_event(body, limits.max_name)) is not None:
        return Parsed([event], [])
    try:
        records = split(body)
    except EmptyBody:
        raise Problem(
            422, "Nothing was sent", "The body is empty; send one event object or an array of them."
        ) from None
    except WrongShape:
        detail = "The body has to be one event object or an array of them."
        raise Problem(422, "Neither an object nor an array", detail) from None
    except TooDeep:
        raise Problem(
            413, "Nested too deeply", f"The body is nested deeper than the {state.pipe.max_depth} levels of max_depth.",
            limit="max_depth", maximum=state.pipe.max_depth,
        ) from None  # fmt: skip
    except NotJson as error:
        detail = f"{error.detail}, at byte {error.offset}."
        raise Problem(400, "Not JSON", detail[0].upper() + detail[1:], byte_offset=error.offset) from None
    most = state.settings.max_events
    if len(records) > most:
        raise Problem(
            413, "Too many events",
            f"The array has {len(records):,} events, more than the {most:,} of max_events. Send it in parts, or upload "
            "it as a file to /api/uploads.",
            limit="max_events", maximum=most,
        )  # fmt: skip
    return parse(records, limits)


def _refuse_if_useless(parsed: Parsed, *, atomic: bool) -> None:
    if not parsed.events:
        raise Problem(422, "Nothing was sent", "The array is empty; send at least one event.")
    if len(parsed.refused) == len(parsed.events) or (atomic and parsed.refused):
        what = "No record is an event" if not atomic else "Not every record is an event, and all or none were asked for"
        errors = _errors(parsed.refused)
        limits = {_LIMITS.get(found.code) for found in parsed.refused}
        if None not in limits:
            raise Problem(413, "Over a limit", f"{what}: {errors[0]['detail']}.", limit=limits.pop(), errors=errors)
        raise Problem(422, "Not accepted", f"{what}: {errors[0]['detail']}.", errors=errors)


def _post(parsed: Parsed, received_at: int) -> Post:
    def refuse(batch_id: str) -> list[RejectedRecord]:
        return [
            RejectedRecord(batch_id, found.index, found.pointer, found.code, found.detail, None, found.record)
            for found in parsed.refused
        ]

    lane = Lane.REALTIME if len(parsed.events) <= _LIVE_EVENTS else Lane.BULK
    events = [encode_event(AcceptedEvent(received_at, event)) for event in parsed.events if event is not None]
    return Post(lane, events, refuse, len(parsed.refused), sum(len(found.record) for found in parsed.refused))


def _receipt(placed: Placed, parsed: Parsed) -> Response:
    batch_id = str(placed.batch_id)
    status_url = f"/api/batches/{batch_id}"
    ids = placed.event_ids()
    receipt = {
        "batch_id": batch_id,
        "accepted": placed.batch_id.count,
        "rejected": len(parsed.refused),
        "status_url": status_url,
        "event_ids": [None if event is None else next(ids) for event in parsed.events],
        "errors": _errors(parsed.refused),
    }
    headers = [(b"location", status_url.encode())]
    if parsed.refused:
        headers.append((b"sentinel-rejected", b"%d" % len(parsed.refused)))
        receipt["rejections_url"] = f"{status_url}/rejections"
    return Answer(202, msgspec.json.encode(receipt), headers)


def _errors(refused: list[Refused]) -> list[dict[str, object]]:
    return [
        {"index": found.index, "pointer": found.pointer, "code": found.code, "detail": found.detail}
        for found in refused[:_FIRST_ERRORS]
    ]
