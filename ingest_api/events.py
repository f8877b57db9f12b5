"""``POST /api/events``: one event, or an array of them."""

import asyncio
import time
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from ingest_api import body as bodies
from ingest_api.accept import Placed, Post
from ingest_api.parse import EmptyBody, Parsed, Refused, TooDeep, WrongShape, parse, split
from ingest_api.schema import EVENTS_OPENAPI
from ingest_api.state import IngestState
from pipeline.chunk import AcceptedEvent, RejectedRecord
from pipeline.http import Problem
from pipeline.http.problems import full
from pipeline.journal import Lane
from pipeline.records import NotJson

_FIRST_ERRORS = 100
_LIVE_EVENTS = 500
_LARGE_BODY = 50_000
_LIMITS = {"too_large": "max_record_bytes", "too_deep": "max_depth", "too_long": "max_name_characters"}


def make_router(state: IngestState) -> APIRouter:
    """Return the route that takes events."""
    router = APIRouter(tags=["Events"])

    @router.post("/api/events", status_code=202, openapi_extra=EVENTS_OPENAPI, summary="Send events")
    async def post_events(
        request: Request,
        atomic: Annotated[bool, Query(description="Take all of the events or none.")] = False,  # noqa: FBT002
    ) -> Response:
        """Take one event object, or an array of them; the answer comes when they are on disk."""
        bodies.require_json(request)
        if state.pressure.is_high:
            raise full()
        body = await bodies.read(request, most=state.settings.max_body_bytes, limit="max_body_bytes")
        received_at = time.time_ns() // 1000
        if len(body) > _LARGE_BODY:
            records, parsed = await asyncio.to_thread(_understood, body, state)
        else:
            records, parsed = _understood(body, state)
        _refuse_if_useless(parsed, atomic=atomic)
        ours = _post(records, parsed, received_at)
        state.pressure.admit(ours.lane)
        placed = await state.acceptor.accept(ours)
        return _receipt(placed, parsed)

    return router


def _understood(body: bytes, state: IngestState) -> tuple[list[bytes], Parsed]:
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
    return records, parse(records, state.pipe.record_limits)


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


def _post(records: list[bytes], parsed: Parsed, received_at: int) -> Post:
    events = [AcceptedEvent(received_at, event) for event in parsed.events if event is not None]
    sizes = [len(raw) for raw, event in zip(records, parsed.events, strict=True) if event is not None]

    def refuse(batch_id: str) -> list[RejectedRecord]:
        return [
            RejectedRecord(batch_id, found.index, found.pointer, found.code, found.detail, None, found.record)
            for found in parsed.refused
        ]

    lane = Lane.REALTIME if len(records) <= _LIVE_EVENTS else Lane.BULK
    return Post(lane, events, sizes, refuse, len(parsed.refused), sum(len(found.record) for found in parsed.refused))


def _receipt(placed: Placed, parsed: Parsed) -> Response:
    status_url = f"/api/batches/{placed.batch_id}"
    ids = iter(placed.event_ids)
    body = {
        "batch_id": str(placed.batch_id),
        "accepted": len(placed.event_ids),
        "rejected": len(parsed.refused),
        "status_url": status_url,
        "event_ids": [None if event is None else str(next(ids)) for event in parsed.events],
        "errors": _errors(parsed.refused),
    }
    headers = {"Location": status_url}
    if parsed.refused:
        headers["Sentinel-Rejected"] = str(len(parsed.refused))
        body["rejections_url"] = f"{status_url}/rejections"
    return Response(msgspec.json.encode(body), 202, headers, "application/json")


def _errors(refused: list[Refused]) -> list[dict[str, object]]:
    return [
        {"index": found.index, "pointer": found.pointer, "code": found.code, "detail": found.detail}
        for found in refused[:_FIRST_ERRORS]
    ]
