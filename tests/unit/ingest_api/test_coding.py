"""Compressed bodies: unpacked as they were packed, within bounds, or refused with the reason."""

import gzip
import random
import sys
import time
import tracemalloc
from collections.abc import Callable

import pytest

from ingest_api.coding import Bounds, Decoder, coding_of, unpacked
from pipeline.http import Problem
from tests.unit.ingest_api.packing import PACK

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_BOUNDS = Bounds(10_000_000, "max_body_bytes", 500)
_both = pytest.mark.parametrize("coding", sorted(PACK))


def _refused(body: bytes, coding: str, status: int, bounds: Bounds = _BOUNDS) -> Problem:
    with pytest.raises(Problem) as caught:
        unpacked(body, coding, bounds)
    assert caught.value.status == status
    return caught.value


@_both
@pytest.mark.parametrize("size", [0, 1, 1 << 14, 1_000_000, 10_000_000])
def test_what_was_packed_comes_out(coding: str, size: int) -> None:
    """
    Any body within the limit comes out as it went in, up to the very limit; so does one packed in several members.
    """
    plain = random.Random(size).randbytes(size)  # noqa: S311 - the same bytes every time
    packed = PACK[coding](plain[: size // 2]) + PACK[coding](b"") + PACK[coding](plain[size // 2 :])

    assert unpacked(packed, coding, _BOUNDS) == unpacked(PACK[coding](plain), coding, _BOUNDS) == plain


@_both
def test_bytes_may_come_one_at_a_time(coding: str) -> None:
    """
    Where a body is cut on its way makes no difference.
    """
    plain = b"one event after the other " * 400
    decoder = Decoder(coding, _BOUNDS)
    packed = PACK[coding](plain) * 2

    found = [piece for at in range(len(packed)) for piece in decoder.feed(packed[at : at + 1])]
    decoder.close()

    assert b"".join(found) == plain * 2


@_both
def test_a_bomb_costs_neither_memory_nor_time(coding: str) -> None:
    """
    Gigabytes in a few kilobytes are refused by the name of the limit, having cost less than the limit allows.
    """
    packed = PACK[coding](b" " * 20_000_000) * 400
    for bounds, limit in ((_BOUNDS, "max_ratio"), (_BOUNDS._replace(ratio=10**6), "max_body_bytes")):
        tracemalloc.start()
        began = time.process_time()
        problem = _refused(packed, coding, 413, bounds)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

        assert problem.extra["limit"] == limit
        assert limit in problem.detail
        assert peak < 2 * bounds.most
        assert time.process_time() - began < 1


@_both
def test_very_many_empty_members_are_refused_soon(coding: str) -> None:
    """
    A body that unpacks to nothing, in a million members, is no way to keep a processor busy.
    """
    packed = PACK[coding](b"")
    began = time.process_time()

    assert "1,000 pieces" in _refused(packed * (9_000_000 // len(packed)), coding, 400).detail
    assert time.process_time() - began < 1


@_both
@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda packed: packed[:-3], "ends in the middle"),
        (lambda packed: packed[:5], "ends in the middle"),
        (lambda _: b'{"user": 1}', "cannot be unpacked"),
        (lambda packed: packed + b"\n[]", "cannot be unpacked"),
        (lambda packed: packed[:30] + bytes([packed[30] ^ 0xFF]) + packed[31:], "cannot be unpacked"),
    ],
    ids=["cut", "head", "plain", "trailing", "flipped"],
)
def test_a_broken_body_is_refused_with_the_reason(coding: str, harm: Callable[[bytes], bytes], says: str) -> None:
    """
    A body that is cut, no such coding at all, followed by something else, or damaged is a 400 that says so.
    """
    options = {} if coding == "gzip" else {"options": {zstd.CompressionParameter.checksum_flag: 1}}
    packed = {"gzip": gzip.compress, "zstd": zstd.compress}[coding](bytes(range(256)) * 4, **options)  # type: ignore[operator]

    assert says in _refused(harm(packed), coding, 400).detail


def test_a_frame_that_asks_for_much_memory_is_refused() -> None:
    """
    A zstd frame may ask for a window of gigabytes; ours ends at eight megabytes, and says what to do.
    """
    chosen: dict[int, int] = {zstd.CompressionParameter.window_log: 27}
    compressor = zstd.ZstdCompressor(options=chosen)
    packed = compressor.compress(b"x" * 1000) + compressor.flush()

    assert "lower level" in _refused(packed, "zstd", 400).detail


@pytest.mark.parametrize(
    ("header", "coding"),
    [("", "identity"), ("identity", "identity"), (" GZIP ", "gzip"), ("x-gzip", "gzip"), ("zstd", "zstd")],
)
def test_a_header_names_a_coding(header: str, coding: str) -> None:
    """
    Names are read in any case, the old one of gzip too.
    """
    assert coding_of(header) == coding


@pytest.mark.parametrize("header", ["br", "deflate", "gzip, gzip", "gzip,zstd", "*", "none"])
def test_other_codings_are_named_and_refused(header: str) -> None:
    """
    What is not understood, several codings among it, is a 415 that says what is.
    """
    with pytest.raises(Problem) as caught:
        coding_of(header)

    assert caught.value.status == 415
    assert header in caught.value.detail
    assert caught.value.headers["Accept-Encoding"] == "gzip, zstd, identity"
