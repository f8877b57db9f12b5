"""What a whole body holds, or the answer that says why it holds nothing."""

from ingest_api.body import Kind
from ingest_api.parse import EmptyBody, Parsed, Refused, TooDeep, WrongShape, parse, split, split_lines
from ingest_api.state import IngestState
from pipeline.http import Problem
from pipeline.plain import plain_event
from pipeline.records import NotJson

_FIRST_ERRORS = 100
_LIMITS = {"too_large": "max_record_bytes", "too_deep": "max_depth", "too_long": "max_name_characters"}


def understand(body: bytes, kind: Kind, state: IngestState, *, atomic: bool) -> Parsed:
    """Return the records of a body, at least one of them an event; with ``atomic`` all of them.

    Raises:
        Problem: 400, 413 or 422.
    """
    most, limits = state.settings.max_events, state.pipe.record_limits
    if len(body) <= limits.max_bytes and (event := plain_event(body, limits.max_name)) is not None:
        return Parsed([event], [])
    try:
        records, lines = (split(body), None) if kind is Kind.JSON else split_lines(body, most)
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
    if len(records) > most:
        count = f"{len(records):,} events, " if lines is None else ""
        raise Problem(
            413, "Too many events",
            f"The body has {count}more than the {most:,} of max_events. Send it in parts, or upload an array as a "
            "file to /api/uploads.",
            limit="max_events", maximum=most,
        )  # fmt: skip
    parsed = parse(records, limits, lines)
    _refuse_if_useless(parsed, atomic=atomic)
    return parsed


def _refuse_if_useless(parsed: Parsed, *, atomic: bool) -> None:
    if not parsed.events:
        raise Problem(422, "Nothing was sent", "The array is empty; send at least one event.")
    if len(parsed.refused) == len(parsed.events) or (atomic and parsed.refused):
        what = "No record is an event" if not atomic else "Not every record is an event, and all or none were asked for"
        errors = shown(parsed.refused)
        limits = {_LIMITS.get(found.code) for found in parsed.refused}
        if None not in limits:
            raise Problem(413, "Over a limit", f"{what}: {errors[0]['detail']}.", limit=limits.pop(), errors=errors)
        raise Problem(422, "Not accepted", f"{what}: {errors[0]['detail']}.", errors=errors)


def shown(refused: list[Refused]) -> list[dict[str, object]]:
    """Return why records were refused, as an answer lists it: the first hundred."""
    return [
        {"index": found.index, "pointer": found.pointer, "code": found.code, "detail": found.detail}
        | ({} if found.line is None else {"line": found.line})
        for found in refused[:_FIRST_ERRORS]
    ]
