"""Posts become chunks: every event has exactly one place, chunks stay in their limits, receipts stay in order."""

from collections import Counter
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from detection import Event
from ingest_api.packing import Packed, Post, Sizes, pack
from pipeline.chunk import AcceptedEvent, Chunk, RejectedRecord, decode, decode_event, encode, encode_event
from pipeline.ids import BatchId, EventId
from pipeline.journal import Lane

SIZES = Sizes(chunk_events=10, chunk_bytes=2000, pending_bytes=1_000_000)


def _event(name: str, length: int) -> bytes:
    return encode_event(
        AcceptedEvent(0, Event("2024-01-15T14:30:00Z", name, "agent", "tool", "p" * length, "response"))
    )


def _user(event: bytes) -> str:
    return decode_event(event).event.user


def _post(number: int, lengths: list[int], lane: Lane = Lane.REALTIME, refused: int = 0) -> Post:
    def refuse(batch_id: str) -> list[RejectedRecord]:
        return [RejectedRecord(batch_id, index, "", "type", "no") for index in range(refused)]

    return Post(lane, [_event(f"{number}/{index}", length) for index, length in enumerate(lengths)], refuse, refused)


posts = st.lists(
    st.tuples(
        st.lists(st.integers(1, 700) | st.integers(900, 2000), min_size=1, max_size=35),
        st.sampled_from(Lane),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=12,
)
Drawn = list[tuple[list[int], Lane, int]]


def _made(drawn: Drawn) -> list[Post]:
    return [_post(number, *each) for number, each in enumerate(drawn)]


def _users_at(packed: Packed) -> dict[EventId, str]:
    return {
        EventId(chunk.chunk_id, position): _user(event)
        for chunk in packed.chunks
        for position, event in enumerate(chunk.events)
    }


@settings(deadline=None)
@given(posts)
def test_every_event_has_one_place_and_its_receipt_names_it(drawn: Drawn) -> None:
    """
    The ids of a receipt are those of its own events, in order, and no two events share one.
    """
    made = _made(drawn)
    packed = pack(made, SIZES)
    at = _users_at(packed)
    ids = [EventId.parse(event_id) for placed in packed.places for event_id in placed.event_ids()]

    assert sum(len(post.events) for post in made) == len(at) == len(ids) == len(set(ids))
    for post, placed in zip(made, packed.places, strict=True):
        assert [_user(event) for event in post.events] == [at[EventId.parse(found)] for found in placed.event_ids()]


@settings(deadline=None)
@given(posts)
def test_chunks_stay_in_their_limits(drawn: Drawn) -> None:
    """
    No chunk has too many events, and only a single event may be larger than a chunk.
    """
    for chunk in pack(_made(drawn), SIZES).chunks:
        total = sum(len(event) for event in chunk.events)
        assert 1 <= len(chunk.events) <= SIZES.chunk_events
        assert total <= SIZES.chunk_bytes or len(chunk.events) == 1


@settings(deadline=None)
@given(posts)
def test_chunks_are_of_one_lane_and_have_ids_of_their_own(drawn: Drawn) -> None:
    """
    Nothing urgent travels in bulk, nothing in bulk among the urgent, and no id is given twice.
    """
    made = _made(drawn)
    packed = pack(made, SIZES)
    lanes = {event: post.lane for post in made for event in post.events}

    assert len(packed.chunks) == len({chunk.chunk_id for chunk in packed.chunks})
    assert all(lanes[event] == chunk.lane for chunk in packed.chunks for event in chunk.events)


@settings(deadline=None)
@given(posts)
def test_a_batch_id_leads_to_the_chunks_of_its_events(drawn: Drawn) -> None:
    """
    What the batch's id says of chunks, first place and count is where its events are, and it can be read back.
    """
    packed = pack(_made(drawn), SIZES)
    for placed in packed.places:
        batch = BatchId.parse(str(placed.batch_id))
        ids = [EventId.parse(found) for found in placed.event_ids()]
        used = list(dict.fromkeys(event_id.chunk for event_id in ids))

        assert used == batch.chunk_ids()
        assert len(ids) == batch.count
        assert ids[0] == EventId(batch.chunk, batch.first)


@settings(deadline=None)
@given(posts)
def test_refused_records_travel_once_with_their_own_batch(drawn: Drawn) -> None:
    """
    Every refused record is in exactly one chunk of its batch, under its batch's id.
    """
    packed = pack(_made(drawn), SIZES)
    kept = Counter(
        (record.source, record.index, chunk.chunk_id) for chunk in packed.chunks for record in chunk.rejections
    )
    expected = {
        (str(placed.batch_id), index, placed.batch_id.chunk)
        for placed, (_, _, refused) in zip(packed.places, drawn, strict=True)
        for index in range(refused)
    }

    assert expected == set(kept)
    assert {1} >= set(kept.values())


@settings(deadline=None, max_examples=30)
@given(posts)
def test_what_is_written_is_what_was_packed(drawn: Drawn) -> None:
    """
    A chunk's bytes give back its events and refused records, and its count is theirs.
    """
    for chunk in pack(_made(drawn), SIZES).chunks:
        written = chunk.written()
        read = decode(written.body)

        assert (chunk.chunk_id, chunk.lane, len(chunk.events)) == (UUID(written.chunk_id), written.lane, written.events)
        assert ([decode_event(event) for event in chunk.events], chunk.rejections) == (read.events, read.rejections)
        assert encode(Chunk(read.events, read.rejections)) == written.body


def test_small_posts_share_a_chunk() -> None:
    """
    Ten posts of one event are one chunk, and the eleventh begins the next.
    """
    packed = pack([_post(number, [10]) for number in range(11)], SIZES)

    assert [len(chunk.events) for chunk in packed.chunks] == [10, 1]


def test_a_large_post_never_shares() -> None:
    """
    A post of several chunks has them for itself, so its batch id says everything.
    """
    packed = pack([_post(0, [10]), _post(1, [10] * 25), _post(2, [10])], SIZES)

    assert [len(chunk.events) for chunk in packed.chunks] == [2, 10, 10, 5]
    assert [placed.batch_id.chunks for placed in packed.places] == [1, 3, 1]


def test_an_event_larger_than_a_chunk_travels_alone() -> None:
    """
    One huge event between small ones has a chunk of its own.
    """
    packed = pack([_post(0, [10, 5000, 10])], SIZES)

    assert [len(chunk.events) for chunk in packed.chunks] == [1, 1, 1]


def test_refused_records_count_like_events() -> None:
    """
    A post of one event and thousands of refused records shares its chunk with nobody, and its bytes count.
    """
    crowded = _post(1, [10], refused=9999)
    packed = pack([_post(0, [10]), crowded, _post(2, [10])], SIZES)

    assert [len(chunk.rejections) for chunk in packed.chunks] == [0, 9999, 0]
