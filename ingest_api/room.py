"""How much may be held of all bodies at once, and who is refused when it is too much: whoever holds most."""

from collections import Counter
from typing import Self

from pipeline.errors import JournalBusy


class Room:
    """Memory for the bodies of requests that are not answered yet.

    No client holds more than is still free. Alone it may fill half, two may fill a third each; and however many there
    are, as much as the largest of them holds is left for the next.
    """

    def __init__(self, most: int) -> None:
        """Hold ``most`` bytes in all."""
        self._most, self._held = most, 0
        self._clients: Counter[str] = Counter()

    def enter(self, client: str) -> "Place":
        """Begin to hold one request's body."""
        return Place(self, client)

    def grow(self, place: "Place", size: int) -> None:
        """Hold more of one body; the first of all may be of any size.

        Raises:
            JournalBusy: there is no room for it now.
        """
        alone = self._held == place.size
        if not alone and self._clients[place.client] + size > self._most - self._held:
            raise JournalBusy
        self._held += size
        self._clients[place.client] += size
        place.size += size

    def release(self, place: "Place") -> None:
        """Let a body go."""
        self._held -= place.size
        self._clients[place.client] -= place.size
        if not self._clients[place.client]:
            del self._clients[place.client]
        place.size = 0


class Place:
    """What one request holds."""

    __slots__ = ("_room", "client", "size")

    def __init__(self, room: Room, client: str) -> None:
        self._room, self.client, self.size = room, client, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._room.release(self)

    def grow(self, size: int) -> None:
        """Hold more.

        Raises:
            JournalBusy: there is no room for it now.
        """
        self._room.grow(self, size)
