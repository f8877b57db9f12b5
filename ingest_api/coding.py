"""Content codings: what a body was before it was compressed, a piece at a time and within bounds.

No more than a piece is ever unpacked ahead of the bounds, so that a bomb costs neither memory nor time.
"""

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from pipeline.http import Problem

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CODINGS = ("gzip", "zstd", "identity")
_ALIASES = {"": "identity", "x-gzip": "gzip"}
_PIECE = 1 << 18
_WINDOW = 1 << 14  # what stands behind the end of a member is copied, and there may be many members
_MOST_MEMBERS = 1000
# Below this the ratio says nothing: a few equal events compress as well as a bomb does.
_RATIO_FROM = 1 << 22
_MOST_WINDOW_LOG = 23  # 8 MB, which RFC 8878 asks every decoder to have


class Bounds(NamedTuple):
    """How much a body may unpack to: bytes, under the name of their limit, and bytes for each byte sent.

    ``beside`` are bytes that may surround what is limited.
    """

    most: int
    limit: str
    ratio: int
    beside: int = 0


class _Member(Protocol):
    """One gzip member or zstd frame."""

    @property
    def eof(self) -> bool:
        """Whether it ended."""

    @property
    def unused_data(self) -> bytes:
        """What stood behind its end."""

    def step(self, data: bytes) -> bytes:
        """Take bytes, and return at most a piece of what they unpack to; call again while ``is_full``."""

    @property
    def is_full(self) -> bool:
        """Whether more is to be had without further bytes."""


class Decoder:
    """Unpacks one body."""

    def __init__(self, coding: str, bounds: Bounds) -> None:
        """Unpack ``coding``, one of ``CODINGS``."""
        self._coding, self._bounds = coding, bounds
        self._taken = self._given = self._members = 0
        self._member: _Member | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes, and yield what they unpack to.

        Raises:
            Problem: 400, where they are no such coding; 413, naming the limit that they unpack to more than.
        """
        if self._coding == "identity":
            self._given += len(data)
            self._taken += len(data)
            self._check()
            yield data
            return
        for start in range(0, len(data), _WINDOW):
            yield from self._unpack(data[start : start + _WINDOW])

    def close(self) -> None:
        """Say that the body is complete.

        Raises:
            Problem: 400, where it ends in the middle.
        """
        if self._member is not None:
            raise _broken(self._coding, f"it ends in the middle, after {self._taken:,} bytes")

    def _unpack(self, data: bytes) -> Iterator[bytes]:
        self._taken += len(data)
        while data or self._member is not None:
            member = self._member = self._member or self._begin()
            try:
                plain = member.step(data)
            except (zlib.error, zstd.ZstdError) as error:
                raise _broken(self._coding, self._reason(error)) from error
            data = b""
            self._given += len(plain)
            self._check()
            if plain:
                yield plain
            if member.eof:
                data, self._member = member.unused_data, None
            elif not member.is_full:
                return

    def _begin(self) -> _Member:
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise _broken(self._coding, f"it is made of more than {_MOST_MEMBERS:,} pieces, each compressed by itself")
        return _MEMBERS[self._coding]()

    def _reason(self, error: Exception) -> str:
        if "too much memory" in str(error):
            return "it needs a window of more than 8 MB to be unpacked; compress it with a lower level"
        return f"what stands near byte {max(0, self._taken - _WINDOW):,} cannot be unpacked ({error})"

    def _check(self) -> None:
        most, limit, ratio, beside = self._bounds
        # What is sent is bounded, too: a frame to be skipped may be long, and give nothing.
        if self._given > most + beside or self._taken > 2 * most + beside:
            raise too_large(most, limit)
        if self._given > _RATIO_FROM and self._given > ratio * self._taken:
            raise Problem(
                413, "Compressed too well",
                f"The body unpacks to more than {ratio:,} bytes for each byte sent, the limit max_ratio; send it "
                "uncompressed, or in parts.",
                limit="max_ratio", maximum=ratio, headers={"Connection": "close"},
            )  # fmt: skip


def coding_of(header: str) -> str:
    """Return which of ``CODINGS`` a ``Content-Encoding`` names.

    Raises:
        Problem: 415, with what to send instead.
    """
    coding = header.strip().lower()
    coding = _ALIASES.get(coding, coding)
    if coding not in CODINGS:
        detail = f"The body is encoded as {coding[:40]}; send it as gzip, as zstd, or as it is."
        raise Problem(415, "Unsupported content coding", detail, headers={"Accept-Encoding": ", ".join(CODINGS)})
    return coding


def unpacked(body: bytes, coding: str, bounds: Bounds) -> bytes:
    """Return what a whole body was before it was compressed.

    Raises:
        Problem: 400 or 413.
    """
    if coding == "identity":
        return body
    decoder = Decoder(coding, bounds)
    plain = b"".join(decoder.feed(body))
    decoder.close()
    return plain


def too_large(most: int, limit: str) -> Problem:
    """Return the answer to a body over a limit."""
    cure = " Send fewer events at a time, or upload a file to /api/uploads." if limit == "max_body_bytes" else ""
    return Problem(413, "Too large", f"The body is larger than the {most:,} bytes of {limit}.{cure}",
                   limit=limit, maximum=most, headers={"Connection": "close"})  # fmt: skip


def _broken(coding: str, reason: str) -> Problem:
    return Problem(400, f"Not {coding}", f"The body cannot be unpacked as {coding}: {reason}.")


class _GzipMember:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def step(self, data: bytes) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, _PIECE)

    @property
    def is_full(self) -> bool:
        return bool(self._inner.unconsumed_tail)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


class _ZstdFrame:
    def __init__(self) -> None:
        options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _MOST_WINDOW_LOG}
        self._inner = zstd.ZstdDecompressor(options=options)

    def step(self, data: bytes) -> bytes:
        return self._inner.decompress(data, _PIECE)

    @property
    def is_full(self) -> bool:
        return not self._inner.needs_input

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


_MEMBERS: dict[str, Callable[[], _Member]] = {"gzip": _GzipMember, "zstd": _ZstdFrame}
