"""Finds the records of a JSON file one after the other, in constant memory, and knows at which byte each stands.

Only the structure is looked at here: strings, brackets, commas. Whether a record's inside is JSON is the decoder's to
say; a fault of the structure ends the file, and names its byte. Records that follow each other without any fault are
found by a decoder in one go, which takes a tenth of the time.
"""

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from pipeline.records import ONE_A_LINE

_PIECE = 1 << 18
_BLANK = re.compile(rb"[ \t\r\n]*+")
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_FLAT = re.compile(rb'\{(?:[^"{}\[\]]++|' + _STRING + rb")*+\}", re.DOTALL)
_NEXT = re.compile(rb'["{}\[\]]')
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_SCALAR = re.compile(rb"[^,\]}\s\[{\"]++")
_BORDER = re.compile(rb'[ \t\r\n]*+,[ \t\r\n]*+\{[ \t\r\n]*+"[^"\\]{1,40}"')
_BETWEEN = re.compile(rb"[ \t\r\n,]*+")
_several = msgspec.json.Decoder(list[msgspec.Raw])


class Fault(ValueError):
    """The file stops being an array of records at a byte."""

    def __init__(self, offset: int, detail: str) -> None:
        super().__init__(detail)
        self.offset, self.detail = offset, detail


class FoundRecord(msgspec.Struct, frozen=True):
    """One record: its first byte, the byte behind it, and its bytes; None where it is too large to hold."""

    start: int
    end: int
    raw: bytes | None


class Records:
    """The records of a file from a checkpoint on.

    A checkpoint is 0, or the byte behind a record. What is found depends on the file and the checkpoint only, so a
    second reader finds the same.
    """

    def __init__(self, file: BinaryIO, *, checkpoint: int, most: int) -> None:
        """Read from ``checkpoint`` on; a record of more than ``most`` bytes is passed over without being held."""
        self._file, self._most = file, most
        self._is_array, begin = _opening(file)
        self._first = checkpoint == 0
        file.seek(begin if self._first else checkpoint)
        self._base = file.tell()
        self._buffer, self._at, self._ended = b"", 0, False
        self._looked = -1

    @property
    def offset(self) -> int:
        """The byte that is read next."""
        return self._base + self._at

    def __iter__(self) -> Iterator[FoundRecord]:
        """Yield the records; ends behind the last one.

        Raises:
            Fault: the structure breaks; records before it were yielded.
        """
        while self._to_next():
            yield self._record()
            yield from self._alike()

    def _to_next(self) -> bool:
        here = self._peek()
        if not self._is_array:
            return self._is_the_one(here)
        if self._first and here == b"[":
            self._at += 1
            here = self._peek()
            self._first = False
            if here != b"]":
                return self._must_go_on(here)
        elif here == b",":
            self._at += 1
            return self._must_go_on(self._peek())
        if here == b"]":
            self._at += 1
            if self._peek():
                raise Fault(self.offset, "something stands behind the end of the array")
            return False
        if not here:
            raise Fault(self.offset, "the file ends in the middle of the array")
        raise Fault(self.offset, "a comma or ] is missing between two records")

    def _is_the_one(self, here: bytes) -> bool:
        if self._first == bool(here):
            self._first = False
            return bool(here)
        if self._first:
            raise Fault(self.offset, "the file holds nothing")
        raise Fault(self.offset, f"something stands behind the one object of the file. {ONE_A_LINE}")

    def _must_go_on(self, here: bytes) -> bool:
        if not here:
            raise Fault(self.offset, "the file ends in the middle of the array")
        if here in b",]}:":
            raise Fault(self.offset, f"a record was expected, and this is {here.decode()}")
        return True

    def _record(self) -> FoundRecord:
        start = self.offset
        end = self._flat_end()
        if end is None:
            end = self._walked_end()
        if end is None:
            self._pass_over()
            return FoundRecord(start, self.offset, None)
        raw = self._buffer[self._at : end]
        self._at = end
        return FoundRecord(start, self.offset, raw)

    def _alike(self) -> Iterator[FoundRecord]:
        """Yield the records behind this one as far as the last in the buffer that begins as the next one does.

        What stands between here and there decodes as the inside of an array only if "there" is the end of a record.
        Where it does not, or is broken, nothing is yielded, and the records are found one by one.
        """
        held = self._base + len(self._buffer)
        border = _BORDER.match(self._buffer, self._at) if self._is_array and self._looked != held else None
        if border is None:
            return
        self._looked = held  # once for each piece, so that hostile ones cost no more than twice the time
        end = self._buffer.rfind(b"}" + border[0], self._at) + 1
        if not end:
            return
        begin = self._buffer.index(b"{", self._at)
        try:
            several = _several.decode(b"[" + self._buffer[begin:end] + b"]")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        for record in several:
            begin = _BETWEEN.match(self._buffer, self._at).end()  # type: ignore[union-attr]
            raw = bytes(record)
            self._at = begin + len(raw)
            yield FoundRecord(self._base + begin, self.offset, raw)

    def _flat_end(self) -> int | None:
        found = _FLAT.match(self._buffer, self._at)
        return found.end() if found else None

    def _walked_end(self) -> int | None:
        """Return where the record ends in the buffer, reading on as needed; None when it is too large to hold."""
        walk = _Walk()
        at = self._at
        while True:
            at = walk.through(self._buffer, at, ended=self._ended)
            if walk.done:
                return at
            if self._ended:
                raise Fault(self._base + len(self._buffer), "the file ends in the middle of a record")
            if len(self._buffer) - self._at > self._most + _PIECE:
                return None
            at -= self._more()

    def _pass_over(self) -> None:
        walk = _Walk()
        while True:
            self._at = walk.through(self._buffer, self._at, ended=self._ended)
            if walk.done:
                return
            if self._ended:
                raise Fault(self.offset, "the file ends in the middle of a record")
            self._more()

    def _peek(self) -> bytes:
        while True:
            self._at = _BLANK.match(self._buffer, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._buffer) or self._ended:
                return self._buffer[self._at : self._at + 1]
            self._more()

    def _more(self) -> int:
        """Read on, forgetting what was passed. Returns by how much positions in the buffer moved."""
        passed = self._at
        piece = self._file.read(_PIECE)
        self._ended = not piece
        self._base += passed
        self._buffer, self._at = self._buffer[passed:] + piece, 0
        return passed


class _Walk:
    """Walks through one JSON value, piece by piece, without recursion."""

    def __init__(self) -> None:
        self.done = False
        self._depth, self._in_string, self._in_scalar, self._begun = 0, False, False, False

    def through(self, data: bytes, at: int, *, ended: bool) -> int:
        """Walk as far as the data goes. Returns the position reached; ``done`` says whether the value ends there."""
        while not self.done:
            if self._in_string:
                at = _REST_OF_STRING.match(data, at).end()  # type: ignore[union-attr]
                if data[at : at + 1] != b'"':  # the string goes on, or a backslash waits for what it escapes
                    return at
                self._in_string, at = False, at + 1
                self.done = self._depth == 0
                continue
            if self._in_scalar or (not self._begun and data[at : at + 1] not in (b"{", b"[", b'"')):
                return self._scalar(data, at, ended=ended)
            found = _NEXT.search(data, at)
            if found is None:
                return len(data)
            at = found.end()
            self._begun = True
            if found[0] == b'"':
                self._in_string = True
            elif found[0] in b"{[":
                self._depth += 1
            else:
                self._depth -= 1
                self.done = self._depth <= 0
        return at

    def _scalar(self, data: bytes, at: int, *, ended: bool) -> int:
        found = _SCALAR.match(data, at)
        end = found.end() if found else at
        self.done = ended or end < len(data)
        # What is no character of a value is passed too, so that the walk always goes on.
        end = end if self._in_scalar or end > at else at + 1
        self._in_scalar = self._begun = True
        return end


def _opening(file: BinaryIO) -> tuple[bool, int]:
    """Return whether the file holds an array, and where its first character stands."""
    file.seek(0)
    begin = len(codecs.BOM_UTF8) if file.read(3) == codecs.BOM_UTF8 else 0
    file.seek(begin)
    while piece := file.read(_PIECE):
        blank = _BLANK.match(piece).end()  # type: ignore[union-attr]
        if blank < len(piece):
            return piece[blank : blank + 1] == b"[", begin + blank
        begin += blank
    return False, begin
