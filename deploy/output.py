"""What the children say: everything goes to a bounded file for each, and what needs a person to the console."""

import math
import os
import re
import sys
import time
from collections import deque
from pathlib import Path
from typing import BinaryIO

_FILE_BYTES = 5_000_000
_LINE_BYTES = 16_000
_LAST_LINES = 20
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LOUD = re.compile(r"\b(warning|error|critical|fatal|panic)\b", re.IGNORECASE)
_LOUD_WITHIN = 100
_ALERT = "ALERT "
_ALERTS_SHOWN = 20
_WINDOW_SECONDS = 10.0
_NEEDS_NOBODY = "Memory overcommit must be enabled"
"""It is said on every start of an ordinary machine, and stays in the log files."""


class Console:
    """The launcher's terminal."""

    def __init__(self, alerts_url: str = "") -> None:
        """Begin with everything quiet but what needs a person; floods of alerts point to ``alerts_url``."""
        self.quiet = False
        self._alerts_url = alerts_url
        self._window = -math.inf
        self._alerts = 0

    def say(self, text: str) -> None:
        """Print a line of the launcher's own."""
        # A terminal that went away must not take the stack with it.
        try:
            print(text, flush=True)
        except OSError:
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - kept for the whole run

    def show(self, name: str, line: str) -> None:
        """Print a child's line if somebody should see it now."""
        if line.startswith(_ALERT):
            self._alert(line)
        elif not self.quiet and _LOUD.search(line[:_LOUD_WITHIN]) and _NEEDS_NOBODY not in line:
            self.say(f"{name:<11} | {line}")

    def _alert(self, line: str) -> None:
        # A file of a million events can hold a million alerts; a terminal that scrolls without end tells nothing.
        now = time.monotonic()
        if now - self._window > _WINDOW_SECONDS:
            self._window, self._alerts = now, 0
        self._alerts += 1
        if self._alerts <= _ALERTS_SHOWN:
            self.say(line)
        elif self._alerts == _ALERTS_SHOWN + 1:
            self.say(f"{_ALERT}… and more: {self._alerts_url}")


class ServiceLog:
    """One child's output: its file, which is turned over when full, and its last lines.

    Attributes:
        loud: every line also goes to the console.
    """

    def __init__(self, name: str, folder: Path, console: Console, *, loud: bool = False) -> None:
        """Begin a log; its file is made with the first line."""
        self.loud = loud
        self.path = folder / f"{name}.log"
        self.last: deque[str] = deque(maxlen=_LAST_LINES)
        self._name = name
        self._console = console
        self._file: BinaryIO | None = None
        self._pending = b""

    def feed(self, data: bytes) -> None:
        """Take what the child wrote."""
        *lines, self._pending = (self._pending + data).split(b"\n")
        if len(self._pending) > _LINE_BYTES:
            lines.append(self._pending)
            self._pending = b""
        for line in lines:
            self._line(line[:_LINE_BYTES])

    def note(self, text: str) -> None:
        """Write a line of the launcher's own into the file."""
        self._line(text.encode())

    def close(self) -> None:
        """Write what is left, and close the file."""
        if self._pending:
            self.feed(b"\n")
        if self._file is not None:
            self._file.close()
            self._file = None

    def _line(self, raw: bytes) -> None:
        # Lines may carry hostile text; a terminal must not obey it.
        text = _COLOURS.sub("", raw.decode("utf-8", "replace").rstrip())
        line = "".join(mark if mark.isprintable() or mark == "\t" else f"\\x{ord(mark):02x}" for mark in text)
        self.last.append(line)
        self._write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}\n".encode())
        if self.loud:
            self._console.say(line)
        else:
            self._console.show(self._name, line)

    def _write(self, line: bytes) -> None:
        # A full disk must not end the launcher: the line is lost, the stack goes on.
        try:
            if self._file is None:
                self._file = self.path.open("ab", buffering=0)
            self._file.write(line)
            if self._file.tell() > _FILE_BYTES:
                self._file.close()
                self._file = None
                self.path.replace(self.path.with_suffix(".log.1"))
        except OSError:
            return
