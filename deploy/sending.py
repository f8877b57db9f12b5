"""``sentinel send``: posts events that are read here, in batches, as they are written in their source."""

import os
import select
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import msgspec
import typer

from deploy import client

_BATCH_BYTES = 4_000_000
_IDLE_SECONDS = 0.2
_READ_BYTES = 1 << 16
_ACCEPTED = 202
_UNPROCESSABLE = 422


@dataclass(slots=True)
class _Sent:
    """What became of the events so far."""

    records: int = 0
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
        for events in _batches(_events(source), batch):
            _post(connection, events, sent)
    typer.echo(f"{sent.accepted} accepted, {sent.rejected} rejected")
    if not sent.rejected:
        return client.OK
    return client.PARTLY_REJECTED if sent.accepted else client.FAILED


def _post(connection: httpx2.Client, events: list[bytes], sent: _Sent) -> None:
    body = b"[" + b",".join(events) + b"]"
    response = client.insist(
        lambda: connection.post("/api/events", content=body, headers={"Content-Type": "application/json"})
    )
    first = sent.records
    sent.records += len(events)
    if response.status_code == _ACCEPTED:
        receipt = response.json()
        sent.accepted += receipt["accepted"]
        sent.rejected += receipt["rejected"]
        typer.echo(f"batch {receipt['batch_id']}: {receipt['accepted']} accepted, {receipt['rejected']} rejected")
        client.show_errors(receipt.get("errors", []), first=first)
    elif response.status_code == _UNPROCESSABLE and response.json().get("errors"):
        sent.rejected += len(events)
        client.show_errors(response.json()["errors"], first=first)
    else:
        message = f"{client.explain(response)} ({sent.accepted} events were accepted before)"
        raise client.CallFailed(message)


def _batches(events: Iterable[bytes | None], most: int) -> Iterator[list[bytes]]:
    """Gather events; None means that the source pauses, and what there is should go."""
    gathered: list[bytes] = []
    size = 0
    for event in events:
        if event is not None:
            gathered.append(event)
            size += len(event)
        if gathered and (event is None or len(gathered) >= most or size >= _BATCH_BYTES):
            yield gathered
            gathered, size = [], 0
    if gathered:
        yield gathered


def _events(source: str) -> Iterator[bytes | None]:
    try:
        descriptor = sys.stdin.fileno() if source == "-" else os.open(Path(source), os.O_RDONLY)
    except OSError as error:
        message = f"{source}: {error.strerror}"
        raise client.Unusable(message) from error
    lines = _lines(descriptor)
    first = next((line for line in lines if line is not None and line.strip()), b"")
    if first.lstrip().startswith(b"{") and _is_complete(first):
        yield first.strip()
        yield from (line.strip() if line is not None else None for line in lines if line is None or line.strip())
        return
    yield from _document(source, first + b"".join(line for line in lines if line is not None))


def _document(source: str, text: bytes) -> list[bytes]:
    """Return the events of one JSON object or array, each as it was written."""
    text = text.removeprefix(b"\xef\xbb\xbf").strip()
    try:
        if text.startswith(b"["):
            return [bytes(event) for event in msgspec.json.decode(text, type=list[msgspec.Raw])]
        msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        message = f"{source} is neither a JSON object, nor an array, nor one object a line: {error}"
        raise client.Unusable(message) from error
    return [text]


def _is_complete(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except msgspec.DecodeError:
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
