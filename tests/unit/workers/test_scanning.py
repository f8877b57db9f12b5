"""Finding the records of a file: those that a JSON decoder finds, from any checkpoint, whatever the file does."""

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import BinaryIO, cast

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from workers import scanning
from workers.scanning import Fault, FoundRecord, Records

MOST = 100_000
PIECES = (7, 64, 1000)
MARK = b"\xef\xbb\xbf"

texts = st.text(max_size=4) | st.sampled_from(
    ["lengthy" * 12, '"', "\\", '\\"', "}]", "[{", ",", "\\\\", "\n", "\U0001f600", "é\0"]
)
values: st.SearchStrategy[object] = st.recursive(
    texts | st.sampled_from([None, True, 0, -12, 0.5, 1e300, 10**30, {}, []]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)
alike = st.lists(
    st.fixed_dictionaries({"a": texts | st.sampled_from(['}, {"a"', "}, {", '},{"a":']), "b": values}), max_size=12
)
records = st.lists(values, max_size=5) | alike
spellings = st.sampled_from(
    [
        json.dumps,
        lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False),
        lambda value: json.dumps(value, indent=2),
        lambda value: json.dumps(value, indent="\t", ensure_ascii=False),
        lambda value: " \r\n\t" + json.dumps(value, separators=(" ,\n", "\t: ")) + "\n\n ",
    ]
)
Spelling = Callable[[object], str]


def _found(data: bytes, *, checkpoint: int = 0, most: int = MOST) -> list[FoundRecord]:
    return list(Records(BytesIO(data), checkpoint=checkpoint, most=most))


def _raw(record: FoundRecord) -> bytes:
    assert record.raw is not None
    return record.raw


@pytest.fixture(params=PIECES)
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Read files in small pieces, so that every border falls between two of them."""
    monkeypatch.setattr(scanning, "_PIECE", request.param)
    return int(request.param)


def _in_pieces(size: int, data: bytes, *, checkpoint: int = 0, most: int = MOST) -> list[FoundRecord]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanning, "_PIECE", size)
        return _found(data, checkpoint=checkpoint, most=most)


def _outcome(size: int, data: bytes, alike: Callable[[Records], Iterator[FoundRecord]]) -> list[object]:
    outcome: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanning, "_PIECE", size)
        patch.setattr(Records, "_alike", alike)
        try:
            outcome.extend(Records(BytesIO(data), checkpoint=0, most=MOST))
        except Fault as fault:
            outcome += [fault.offset, fault.detail]
    return outcome


def _until_fault(size: int, data: bytes) -> tuple[list[FoundRecord], Fault]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanning, "_PIECE", size)
        found: list[FoundRecord] = []
        try:
            for record in Records(BytesIO(data), checkpoint=0, most=MOST):
                found.append(record)  # noqa: PERF402 - what was found before the fault counts
        except Fault as fault:
            return found, fault
    pytest.fail("the file has no fault")


@settings(deadline=None, max_examples=100)
@given(records, spellings, st.sampled_from(PIECES), st.booleans())
def test_an_array_has_the_records_that_a_decoder_finds(
    written: list[object], spelling: Spelling, size: int, marked: bool
) -> None:
    """
    However an array is written, and wherever the pieces end, its records are those of the decoder, each at its bytes.
    """
    data = (MARK if marked else b"") + spelling(written).encode()
    found = _in_pieces(size, data)

    assert written == [json.loads(_raw(record)) for record in found]
    assert [data[record.start : record.end] for record in found] == [record.raw for record in found]


@settings(deadline=None, max_examples=200)
@given(
    alike,
    spellings,
    st.sampled_from(PIECES),
    st.integers(0),
    st.sampled_from([b"", b'"', b"}", b"\\", b"[", b",", b"\xff"]),
)
def test_records_found_in_one_go_are_those_found_one_by_one(
    written: list[object], spelling: Spelling, size: int, at: int, damage: bytes
) -> None:
    """
    Whatever one byte of records that look alike is put for, both ways find the same records and the same fault.
    """
    data = spelling(written).encode()
    at %= len(data)
    data = data[:at] + damage + data[at + 1 :]

    assert _outcome(size, data, Records._alike) == _outcome(size, data, lambda _: iter(()))


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(texts, values, max_size=3), spellings, st.sampled_from(PIECES), st.booleans())
def test_a_file_of_one_object_has_one_record(
    written: dict[str, object], spelling: Spelling, size: int, marked: bool
) -> None:
    """
    A single object is one record, pretty or not.
    """
    data = (MARK if marked else b"") + spelling(written).encode()
    (found,) = _in_pieces(size, data)

    assert written == json.loads(_raw(found))
    assert _in_pieces(size, data, checkpoint=found.end) == []


@settings(deadline=None, max_examples=40)
@given(records, spellings, st.sampled_from(PIECES), st.booleans())
def test_every_records_end_is_a_checkpoint(written: list[object], spelling: Spelling, size: int, marked: bool) -> None:
    """
    A second reader that goes on behind any record finds the same rest.
    """
    data = (MARK if marked else b"") + spelling(written).encode()
    found = _in_pieces(size, data)

    for index, record in enumerate(found, start=1):
        assert found[index:] == _in_pieces(size, data, checkpoint=record.end)


@settings(deadline=None, max_examples=40)
@given(records, spellings, st.sampled_from(PIECES), st.data())
def test_a_truncated_array_ends_in_a_fault(
    written: list[object], spelling: Spelling, size: int, draw: st.DataObject
) -> None:
    """
    Cut at any byte, a file yields its whole records, then says where it ends.
    """
    data = spelling(written).encode().strip()
    whole = _found(data)
    cut = data[: draw.draw(st.integers(1, len(data) - 1))]
    found, fault = _until_fault(size, cut)

    assert len(cut) == fault.offset
    # A number that was cut may still look like one; the missing end of the array tells.
    assert [record for record in whole if record.end < len(cut)] == [
        record for record in found if record.end < len(cut)
    ]


@settings(deadline=None, max_examples=200)
@given(
    st.binary(max_size=80) | st.text(alphabet='{}[]",:\\ \n1a', max_size=60).map(str.encode), st.sampled_from(PIECES)
)
@example(b"\xef\xbb\xbf", 7)
def test_no_file_makes_the_search_hang_or_break(data: bytes, size: int) -> None:
    """
    Whatever the bytes, every record moves on, and the search ends or names a byte of the file.
    """
    assume(data.strip())
    at = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanning, "_PIECE", size)
        reading = Records(BytesIO(data), checkpoint=0, most=MOST)
        try:
            for record in reading:
                assert at <= record.start < record.end <= len(data)
                at = record.end
        except Fault as fault:
            assert at <= fault.offset <= len(data)  # noqa: PT017 - both endings are right


@settings(deadline=None, max_examples=40)
@given(records, st.sampled_from(PIECES), st.integers(1, 40))
def test_records_over_the_limit_are_passed_over(written: list[object], size: int, most: int) -> None:
    """
    A record that is too large to hold has its place, the ones around it their bytes, and none is lost.
    """
    data = json.dumps(written).encode()
    whole = _in_pieces(size, data)
    found = _in_pieces(size, data, most=most)

    assert [(record.start, record.end) for record in whole] == [(record.start, record.end) for record in found]
    for expected, record in zip(whole, found, strict=True):
        assert record.raw in (None, expected.raw)
        assert record.raw is not None or record.end - record.start > most
        assert record.raw is None or len(record.raw) <= most + 2 * size


class _Endless:
    """A file whose one string never ends within what a machine could hold; it notes how much was asked for at once."""

    def __init__(self, start: bytes, length: int, end: bytes) -> None:
        self._parts = (start, length, end)
        self._at = 0
        self.largest = 0

    def seek(self, at: int) -> int:
        self._at = at
        return at

    def tell(self) -> int:
        return self._at

    def read(self, size: int) -> bytes:
        self.largest = max(self.largest, size)
        start, length, end = self._parts
        head = start[self._at : self._at + size]
        inside = self._at + len(head) - len(start)
        body = b"x" * max(0, min(size - len(head), length - inside)) if inside >= 0 else b""
        inside += len(body) - length
        tail = end[inside : inside + size - len(head) - len(body)] if inside >= 0 else b""
        self._at += len(head) + len(body) + len(tail)
        return head + body + tail


@pytest.mark.parametrize("start", [b'[1,{"a":"', b'[1,{"a":{"b":"'])
def test_a_huge_record_takes_no_memory(start: bytes) -> None:
    """
    Fifty megabytes of one record pass through pieces of their usual size, and only a limit's worth is ever held.
    """
    length, closing = 50_000_000, b'"' + b"}" * start.count(b"{")
    file = _Endless(start, length, closing + b',{"b":2}]')
    reading = Records(cast("BinaryIO", file), checkpoint=0, most=100_000)
    held = 0
    found = []
    for record in reading:
        found.append(record)
        held = max(held, len(reading._buffer))

    assert [record.raw for record in found] == [b"1", None, b'{"b":2}']
    assert length + len(start) - 3 + len(closing) == found[1].end - found[1].start
    assert held <= 100_000 + 3 * scanning._PIECE
    assert file.largest <= scanning._PIECE


@pytest.mark.parametrize(
    ("data", "offset", "said"),
    [
        (b"[]x", 2, "behind the end"),
        (b"[] []", 3, "behind the end"),
        (b'[{"a":1}]{"a":1}', 9, "behind the end"),
        (b"[1]\n\0", 4, "behind the end"),
        (b'{"a":1}{"a":2}', 7, "behind the one object"),
        (b'{"a":1}\n{"a":2}\n', 8, "behind the one object.*sentinel send"),
        (b'{"a":1},', 7, "behind the one object"),
        (b'[{"a":1} {"a":2}]', 9, "comma"),
        (b'[{"a":1}{"a":2}]', 8, "comma"),
        (b'["a" "b"]', 5, "comma"),
        (b"[1 2]", 3, "comma"),
        (b'[{"a":1}}]', 8, "comma"),
        (b"[,1]", 1, "a record was expected, and this is ,"),
        (b"[1,,2]", 3, "a record was expected, and this is ,"),
        (b"[1,]", 3, "a record was expected, and this is ]"),
        (b"[}]", 1, "a record was expected, and this is }"),
        (b"[:]", 1, "a record was expected, and this is :"),
        (b"[", 1, "in the middle of the array"),
        (b"[1", 2, "in the middle of the array"),
        (b"[1,", 3, "in the middle of the array"),
        (b"[1, \n", 5, "in the middle of the array"),
        (b'[{"a":1}', 8, "in the middle of the array"),
        (b'[{"a":', 6, "in the middle of a record"),
        (b'[{"a":"\\', 8, "in the middle of a record"),
        (b'[{"a":"\\"}]', 11, "in the middle of a record"),
        (b'{"a":[1}', 8, "in the middle of a record"),
        (b'["a', 3, "in the middle of a record"),
    ],
)
@pytest.mark.usefixtures("piece")
def test_broken_structure_is_told_with_its_byte(data: bytes, offset: int, said: str) -> None:
    """
    Where the structure breaks the file ends, and its byte and reason are said.
    """
    with pytest.raises(Fault, match=said) as caught:
        _found(data)

    assert offset == caught.value.offset


@pytest.mark.parametrize("mark", [b"", MARK])
@pytest.mark.parametrize("size", PIECES)
def test_records_before_a_fault_are_found(mark: bytes, size: int) -> None:
    """
    What came before the fault is kept.
    """
    found, fault = _until_fault(size, mark + b' [{"a": 1}, {"b": [2]} oops')

    assert [record.raw for record in found] == [b'{"a": 1}', b'{"b": [2]}']
    assert len(mark) + 23 == fault.offset


@pytest.mark.parametrize("data", [b"[]", b" \n[ \r\n\t ] \n", MARK + b"[]"])
@pytest.mark.usefixtures("piece")
def test_an_empty_array_has_no_records(data: bytes) -> None:
    """
    An empty array ends at once, without a fault.
    """
    assert _found(data) == []


@pytest.mark.usefixtures("piece")
def test_a_record_that_is_no_json_inside_is_the_decoders_to_refuse() -> None:
    """
    Only the structure counts here, so what stands between the brackets is handed on as it is.
    """
    assert [record.raw for record in _found(b"[{nonsense}, NaN, 'x', {\"a\" 1]]")] == [
        b"{nonsense}",
        b"NaN",
        b"'x'",
        b'{"a" 1]',
    ]


def test_much_white_space_is_not_held() -> None:
    """
    Blanks between records are forgotten as they are read.
    """
    reading = Records(BytesIO(b"[1," + b" " * 3_000_000 + b"2]"), checkpoint=0, most=MOST)

    assert [record.raw for record in reading] == [b"1", b"2"]
    assert len(reading._buffer) <= 2 * scanning._PIECE
