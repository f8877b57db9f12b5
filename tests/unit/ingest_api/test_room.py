"""Room for bodies: shared by clients, so that the largest is refused and the next is not."""

from contextlib import ExitStack

import pytest

from ingest_api.room import Room
from pipeline.errors import JournalBusy


def _fill(room: Room, stack: ExitStack, client: str, size: int = 1) -> int:
    """Hold bodies until one is refused. Returns how many bytes are held."""
    held = 0
    while True:
        place = stack.enter_context(room.enter(client))
        try:
            place.grow(size)
        except JournalBusy:
            return held
        held += size


def test_a_greedy_client_leaves_as_much_as_it_takes() -> None:
    """
    One fills half; the next finds room, and so does the one after it; none that came later gets nothing.
    """
    room = Room(1200)
    with ExitStack() as stack:
        held = [_fill(room, stack, client) for client in "abcd"]

    assert held == [600, 300, 150, 75]


def test_greedy_clients_at_once_get_the_same() -> None:
    """
    Clients that take turns fill equal shares, and a share is left.
    """
    room = Room(1200)
    with ExitStack() as stack:
        places = {client: stack.enter_context(room.enter(client)) for client in "abc"}
        for _ in range(300):
            for place in places.values():
                place.grow(1)
        with pytest.raises(JournalBusy):
            places["a"].grow(1)

        assert _fill(room, stack, "d") == 150


def test_room_is_given_back_and_one_body_always_fits() -> None:
    """
    A body larger than all the room is taken when nothing else is held, and leaves nothing behind.
    """
    room = Room(1000)
    for _ in range(3):
        with room.enter("a") as place:
            place.grow(600)
            place.grow(600)
            with pytest.raises(JournalBusy), room.enter("b") as other:
                other.grow(1)
