"""``sentinel scan``: judge events without a server, each read as the API reads it."""

# ruff: noqa: PLC0415 - the engine takes longer to import than help to print

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from detection.cli import Overrides, Packs, Site, load, refuse

if TYPE_CHECKING:
    from detection import Event


def scan(
    file: Annotated[
        str, typer.Argument(metavar="[FILE|-]", help="Events, one JSON object a line; - is standard input.")
    ] = "-",
    packs: Packs = None,
    site: Site = None,
    overrides: Overrides = None,
) -> None:
    """Judge events without a server: one JSON event a line in, one verdict a line out, in the same order.

    Exits 0 whatever the verdicts are, and 2 where the input or the rules cannot be used.
    """
    from detection import Scanner

    scanner = Scanner(load(packs, site, overrides))
    out = sys.stdout
    try:
        with _open(file) as lines:
            for event in _events(file, lines):
                # In ASCII, so that every text can be written to every terminal and file.
                out.write(json.dumps(scanner.scan(event).as_dict(), separators=(",", ":")) + "\n")
        out.flush()
    except BrokenPipeError:
        # The reader has seen enough. Python would complain when it closes the pipe at exit.
        sys.stderr.close()


def _open(file: str) -> IO[bytes]:
    """Return the input."""
    try:
        return sys.stdin.buffer if file == "-" else Path(file).open("rb")
    except OSError as error:
        refuse(f"{file}: {error.strerror}")


def _events(file: str, lines: IO[bytes]) -> Iterator["Event"]:
    """Give the event of every line that is not blank, as far as they can be read."""
    from pipeline.records import NotJson, RejectedRecordError, mend_surrogates, to_event
    from pipeline.settings import PipeSettings

    try:
        limits = PipeSettings().record_limits
    except (ValueError, OSError):
        refuse("The settings cannot be read, and with them how large a record may be: `sentinel doctor` says why.")
    name = "standard input" if file == "-" else file
    try:
        for number, line in enumerate(lines, 1):
            text = (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).strip(b" \t\r\n")
            if not text:
                continue
            try:
                yield to_event(mend_surrogates(text), limits)
            except RejectedRecordError as error:
                refuse(f"{name}:{number}: {error.detail}")
            except NotJson as error:
                refuse(f"{name}:{number}: {error.detail} (byte {error.offset})")
    except OSError as error:
        refuse(f"{name}: {error.strerror}")
