"""``sentinel send``: posts events that are read here, in batches, as they are written in their source."""

import json
import os
import select
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import httpx2
import msgspec
import typer

from deploy import client
from pipeline.records import mend_surrogates

_MARK = b"\xef\xbb\xbf"  # what some editors put before UTF-8
_BATCH_BYTES = 4_000_000
_IDLE_SECONDS = 0.2
_READ_BYTES = 1 << 16
_ACCEPTED = 202
_TOO_LARGE = 413


@dataclass(frozen=True, slots=True)
class _Event:
    """An event as it was written; ``text`` is None where what was written is no JSON."""

    place: str
    text: bytes | None


@dataclass(slots=True)
class _Sent:
    """What became of the events so far."""

    accepted: int = 0
    rejected: int = 0


def send(source: str, *, url: str | None, batch: int) -> int:
    """Post every event of ``source``. Returns the exit status.

    Raises:
        Unusable: the source is not JSON.
        CallFailed: the installation did not take a batch; the ones before it are taken.
    """
    sent = _Sent()
    with client.connect(url) as connection:
        for events in _batches(_sound(_events(source), sent), batch):
            _post(connection, events, sent)
    typer.echo(f"{sent.accepted} accepted, {sent.rejected} rejected")
    if not sent.rejected:
        return client.OK
    return client.PARTLY_REJECTED if sent.accepted else client.FAILED


def _sound(events: Iterable[_Event | None], sent: _Sent) -> Iterator[_Event | None]:
    """Pass on what can be sent, and name what cannot."""
    for event in events:
        if event is None or event.text is not None:
            yield event
        else:
            sent.rejected += 1
            typer.echo(f"{event.place}: this is not JSON; it was left out", err=True)


def _post(connection: httpx2.Client, events: list[_Event], sent: _Sent) -> None:
    body = b"[" + b",".join(event.text for event in events if event.text is not None) + b"]"
    places = [event.place for event in events]
    response = client.insist(
        lambda: connection.post("/api/events", content=body, headers={"Content-Type": "application/json"})
    )
    if response.status_code == _ACCEPTED:
        receipt = response.json()
        sent.accepted += receipt["accepted"]
        sent.rejected += receipt["rejected"]
        typer.echo(f"batch {receipt['batch_id']}: {receipt['accepted']} accepted, {receipt['rejected']} rejected")
        client.show_errors(receipt.get("errors", []), places=places)
    elif errors := client.errors_in(response):
        sent.rejected += len(events)
        client.show_errors(errors, places=places)
    elif response.status_code == _TOO_LARGE and len(events) > 1:
        # The limits are the installation's, and those of what stands before it: nothing of this was taken.
        middle = len(events) // 2
        _post(connection, events[:middle], sent)
        _post(connection, events[middle:], sent)
    elif response.status_code == _TOO_LARGE:
        sent.rejected += 1
        typer.echo(f"{places[0]}: {client.explain(response)}", err=True)
    else:
        message = f"{client.explain(response)} ({sent.accepted} events were accepted before)"
        raise client.CallFailed(message)


def _batches(events: Iterable[_Event | None], most: int) -> Iterator[list[_Event]]:
    """Gather events; None means that the source pauses, and what there is should go."""
    gathered: list[_Event] = []
    size = 0
    for event in events:
        if event is not None:
            gathered.append(event)
            size += len(event.text or b"")
        if gathered and (event is None or len(gathered) >= most or size >= _BATCH_BYTES):
            yield gathered
            gathered, size = [], 0
    if gathered:
        yield gathered


def _events(source: str) -> Iterator[_Event | None]:
    lines = _lines(_opened(source))
    begun: list[bytes] = []
    is_blank = True
    for line in lines:
        if line is not None:
            begun.append(line if begun else line.removeprefix(_MARK))
            if not is_blank or not begun[-1].strip():
                continue
            is_blank = False
        # The first line tells, else those that are there when the source pauses: it may go on for ever.
        if _is_one_a_line(begun) and not (line is None and _is_unfinished(begun)):
            yield from _one_a_line(chain(begun, lines))
            return
    yield from _document(source, begun)


def _opened(source: str) -> int:
    if source == "-":
        return sys.stdin.fileno()
    try:
        descriptor = os.open(Path(source), os.O_RDONLY)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        message = f"{source}: {why}"
        raise client.Unusable(message) from error
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        message = f"{source} is a folder; name a file in it, or - for standard input."
        raise client.Unusable(message)
    return descriptor


def _document(source: str, lines: list[bytes]) -> Iterator[_Event | None]:
    """Yield the events of one JSON object or array, each as it was written; else those of the lines that are one."""
    text = mend_surrogates(b"".join(lines)).strip()
    try:
        if text.startswith(b"["):
            events = [bytes(event) for event in msgspec.json.decode(text, type=list[msgspec.Raw])]
        else:
            msgspec.json.decode(text)
            events = [text]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if not _is_one_a_line(lines):
            message = f"{source} is neither a JSON object, nor an array, nor one object a line: {error}"
            raise client.Unusable(message) from error
        yield from _one_a_line(lines)
        return
    yield from (_Event(f"record {number}", _sendable(event)) for number, event in enumerate(events, 1))


def _is_one_a_line(lines: list[bytes]) -> bool:
    first, *others = [line for line in lines if line.strip()] or [b""]
    # A line that begins with a brace in its first column and is whole belongs to no document of several lines.
    found = (line.startswith(b"{") and _is_json(mend_surrogates(line)) for line in (first.lstrip(), *others))
    return not first.lstrip().startswith(b"[") and any(found)


def _is_unfinished(lines: list[bytes]) -> bool:
    """Say whether lines may be the beginning of one document."""
    text = b"".join(lines).decode(errors="replace").rstrip()
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        return isinstance(error, json.JSONDecodeError) and (error.pos >= len(text) or error.msg.startswith("Unterm"))
    return False


def _one_a_line(lines: Iterable[bytes | None]) -> Iterator[_Event | None]:
    number = 0
    for line in lines:
        if line is None:
            yield None
            continue
        number += 1
        if text := mend_surrogates(line).strip():
            yield _Event(f"line {number}", _sendable(text))


def _sendable(text: bytes) -> bytes | None:
    return text if _is_json(text) else None


def _is_json(line: bytes) -> bool:
    try:
        line.decode()
        msgspec.json.decode(line, type=msgspec.Raw)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return False
    return True


def _lines(descriptor: int) -> Iterator[bytes | None]:
    """Yield lines as they come, and None whenever no more is to be had at once."""
    pending = b""
    while True:
        if not select.select([descriptor], [], [], _IDLE_SECONDS)[0]:
            yield None
            continue
        data = os.read(descriptor, _READ_BYTES)
        if not data:
            break
        *lines, pending = (pending + data).split(b"\n")
        yield from (line + b"\n" for line in lines)
    if pending:
        yield pending
