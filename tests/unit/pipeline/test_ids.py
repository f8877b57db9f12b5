"""Ids survive being written and read, are derived the same way twice, and cannot be made up."""

import time
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.ids import (
    BatchId,
    ChunkId,
    EventId,
    InvalidId,
    alert_id,
    new_uuid,
    nth_chunk,
    parse_uuid,
    upload_chunk,
)  # fmt: skip

ROOT = UUID("0190b0a0-1234-7abc-8def-012345670000")
HEX = ROOT.hex
uuids = st.uuids()
counts = st.integers(1, 999_999_999)
positions = st.integers(0, 999_999_999)


def test_new_ids_carry_the_time_and_leave_room_for_a_batch() -> None:
    """
    An id is a UUIDv7 of now whose low 16 bits are free to number chunks.
    """
    before = time.time_ns() // 1_000_000
    made = new_uuid()
    after = time.time_ns() // 1_000_000

    assert before <= made.int >> 80 <= after
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int & 0xFFFF == 0


def test_new_ids_differ() -> None:
    """
    Ten thousand ids are ten thousand ids, also within one millisecond.
    """
    assert len({new_uuid() for _ in range(10_000)}) == 10_000


def test_the_chunks_of_a_batch_are_numbered() -> None:
    """
    The chunks of one batch follow its first, and never run into the next id.
    """
    last = nth_chunk(ROOT, 65_535)

    assert nth_chunk(ROOT, 0) == ROOT
    assert ROOT.int + 65_535 == last.int
    for index in (-1, 65_536):
        with pytest.raises(ValueError, match="65536"):
            nth_chunk(ROOT, index)


@settings(deadline=None)
@given(uuids, positions)
def test_event_ids_round_trip(chunk: UUID, position: int) -> None:
    """
    An event id is what its text says.
    """
    event = EventId(chunk, position)

    assert event == EventId.parse(str(event))


@settings(deadline=None)
@given(uuids, positions, counts, st.integers(1, 65_536))
def test_batch_ids_round_trip(chunk: UUID, first: int, count: int, chunks: int) -> None:
    """
    A batch id is what its text says, and names as many chunks as it has.
    """
    batch = BatchId(UUID(int=chunk.int >> 16 << 16), first, count, chunks)

    assert batch == BatchId.parse(str(batch))


def test_a_batch_knows_its_chunks() -> None:
    """
    The chunks of a batch are derived from its id alone.
    """
    assert [ROOT, nth_chunk(ROOT, 1), nth_chunk(ROOT, 2)] == BatchId(ROOT, 0, 1500, 3).chunk_ids()


@pytest.mark.parametrize(
    "text",
    [
        "", HEX, f"{HEX}.", f"{HEX}.-1", f"{HEX}.01", f"{HEX}.1 ", f" {HEX}.1", f"{HEX}.1\n", f"{HEX}.1.1",
        f"{HEX}.1e3", f"{HEX}.1000000000", f"{HEX}.١", f"{HEX.upper()}.1", f"{HEX[:-1]}.1", f"{HEX}0.1", f"{ROOT}.1",
        "../../etc/passwd", "'; DROP TABLE events; --", f"{HEX}.0\0", "x" * 999,
    ],
)  # fmt: skip
def test_forged_event_ids_are_refused(text: str) -> None:
    """
    Only what this system writes as an event id is one; there is one spelling of each.
    """
    with pytest.raises(InvalidId):
        EventId.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "", HEX, f"{HEX}.0.1", f"{HEX}.0.1.", f"{HEX}.0.0.1", f"{HEX}.00.1.1", f"{HEX}.0.01.1", f"{HEX}.0.1.01",
        f"{HEX}.0.1.0", f"{HEX}.0.1.65537", f"{HEX}.0.1.99999", f"{HEX}.0.1.1.1", f"{HEX}.-1.1.1",
        f"{HEX}.0.1000000000.1", f"{HEX}.0.1.1\n", f"{HEX.upper()}.0.1.1", f"{'f' * 32}.0.2.2",
        f"{HEX[:-1]}1.0.65536.65536", "x" * 999,
    ],
)  # fmt: skip
def test_forged_batch_ids_are_refused(text: str) -> None:
    """
    Only what this system writes as a batch id is one, and none leads outside the range of ids.
    """
    with pytest.raises(InvalidId):
        BatchId.parse(text)


@pytest.mark.parametrize(
    "text", ["", "x", HEX[:-1], f"{HEX}0", f"{{{ROOT}}}", f"urn:uuid:{ROOT}", f"{ROOT}\n", str(ROOT).upper(), "-" * 36]
)
def test_forged_uuids_are_refused(text: str) -> None:
    """
    Of the many spellings of a UUID only ours are taken.
    """
    with pytest.raises(InvalidId):
        parse_uuid(text)


def test_uuids_are_read_with_and_without_hyphens() -> None:
    """
    Both spellings that appear in links lead to the same upload.
    """
    assert ROOT == parse_uuid(HEX) == parse_uuid(str(ROOT))


def test_upload_chunks_depend_on_the_upload_and_the_byte_alone() -> None:
    """
    Two splitters give the same chunk the same id, and different chunks different ones.
    """
    ids = {upload_chunk(upload, offset) for upload in (ROOT, new_uuid()) for offset in range(1000)}

    assert upload_chunk(ROOT, 5) == upload_chunk(ROOT, 5)
    assert len(ids) == 2000
    assert {8} == {chunk.version for chunk in ids}
    assert ROOT.int >> 80 == upload_chunk(ROOT, 0).int >> 80


def test_an_alert_keeps_its_id() -> None:
    """
    The alert about an event has one id for ever, and no other event's alert has it.
    """
    assert alert_id(EventId(ROOT, 1)) == alert_id(EventId(ROOT, 1))
    assert alert_id(EventId(ROOT, 1)) != alert_id(EventId(ROOT, 2))


@settings(deadline=None)
@given(uuids, positions, counts)
def test_an_event_that_runs_again_keeps_its_id(root: UUID, position: int, number: int) -> None:
    """
    The chunk of a rerun names its event and says that it weighs nothing.
    """
    event = EventId(root, position)
    chunk = ChunkId.parse(str(ChunkId.rerun(event, number)))

    assert event == chunk.event(0)
    assert chunk.is_rerun


def test_a_half_of_a_chunk_keeps_the_ids_of_its_events() -> None:
    """
    Events that travel on in a part of their chunk are counted from the root.
    """
    half = ChunkId.parse(f"{HEX}.250-500")

    assert EventId(ROOT, 253) == half.event(3)
    assert not half.is_rerun
    assert EventId(ROOT, 3) == ChunkId.parse(HEX).event(3)


@pytest.mark.parametrize(
    "text", ["", "x", f"{HEX}.", f"{HEX}.1", f"{HEX}.1~", f"{HEX}.1-2-3", f"{HEX}.1~2\n", HEX.upper()]
)
def test_forged_chunk_ids_are_refused(text: str) -> None:
    """
    A doorbell that names no chunk is recognised.
    """
    with pytest.raises(InvalidId):
        ChunkId.parse(text)
