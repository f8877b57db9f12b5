"""What did you say? The body of a post becomes records; which of them are events is said one by one."""

import codecs
from dataclasses import dataclass

import msgspec

from detection import Event
from pipeline.records import NotJson, RecordLimits, RejectedRecordError, mend_surrogates, syntax_error, to_event

_records = msgspec.json.Decoder(list[msgspec.Raw])
_FOREIGN_MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16", codecs.BOM_UTF32_BE: "UTF-32"}


class EmptyBody(ValueError):
    """There is nothing in the body."""


class WrongShape(ValueError):
    """The body is JSON, but neither an object nor an array of them."""


class TooDeep(ValueError):
    """The body is nested too deeply to be read at all."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that is no event: its place in the request, the reason, and its bytes."""

    index: int
    pointer: str
    code: str
    detail: str
    record: bytes


@dataclass(frozen=True, slots=True)
class Parsed:
    """A request's records: ``events[i]`` is None where record ``i`` was refused."""

    events: list[Event | None]
    refused: list[Refused]


def split(body: bytes) -> list[bytes]:
    """Return the body's records: the one object, or the members of the array.

    Raises:
        EmptyBody, WrongShape, TooDeep, NotJson: the body holds no records, and why.
    """
    data = _utf8(body)
    skipped = len(body) - len(data)
    kind = data.lstrip(b" \t\r\n")[:1]
    if not kind:
        raise EmptyBody
    try:
        if kind == b"{":
            msgspec.json.decode(data, type=dict[str, msgspec.Raw])
            return [data.strip(b" \t\r\n")]
        return [bytes(raw) for raw in _records.decode(data)]
    except RecursionError:
        raise TooDeep from None
    except (msgspec.ValidationError, UnicodeDecodeError):
        raise WrongShape from None
    except msgspec.DecodeError as error:
        found = syntax_error(data, error)
        raise NotJson(skipped + found.offset, found.detail) from error


def parse(records: list[bytes], limits: RecordLimits) -> Parsed:
    """Judge each record by itself: a bad one costs the others nothing."""
    events: list[Event | None] = []
    refused: list[Refused] = []
    for index, raw in enumerate(records):
        try:
            events.append(to_event(raw, limits))
        except RejectedRecordError as error:
            events.append(None)
            refused.append(Refused(index, error.pointer, error.code, error.detail, raw))
        except NotJson as error:
            events.append(None)
            refused.append(Refused(index, "", "not_json", f"{error.detail} (byte {error.offset})", raw))
    return Parsed(events, refused)


def _utf8(body: bytes) -> bytes:
    for mark, name in _FOREIGN_MARKS.items():
        if body.startswith(mark):
            raise NotJson(0, f"the body is {name}; JSON travels as UTF-8")
    data = body.removeprefix(codecs.BOM_UTF8)
    skipped = len(body) - len(data)
    if b"\0" in data[:4]:
        raise NotJson(skipped + data.index(b"\0"), "the body is UTF-16 or binary; JSON travels as UTF-8")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise NotJson(skipped + error.start, "the body is not valid UTF-8") from None
    return mend_surrogates(data)
