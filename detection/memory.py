"""Which texts were clean: agents poll, retry and repeat their instructions, and the same text need not be judged twice.

What is kept of a text is a digest: no text of anybody's stays behind, and none is taken for another.
"""

from hashlib import blake2b

from detection.views import encode

_MOST = 32_768
"""Digests of a generation; there are two."""
_DIGEST = 20


class CleanTexts:
    """Remembers the texts that one rule set found nothing in, the latest ones."""

    def __init__(self, most: int = _MOST) -> None:
        """Remember at least ``most`` texts, and at most twice as many."""
        self._most = most
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def holds(self, key: bytes) -> bool:
        """Say whether a text was clean; one that is asked for stays remembered."""
        if key in self._young:
            return True
        if key not in self._old:
            return False
        self.add(key)
        return True

    def add(self, key: bytes) -> None:
        """Remember a text."""
        if len(self._young) >= self._most:
            self._old, self._young = self._young, set()
        self._young.add(key)


def key(field: str, name: str, tool: str, text: str) -> bytes:
    """Return what stands for a text that is judged.

    Args:
        field: what the rules that look at it call it; a text of the metadata is judged under several names.
        name: where in the event it stands.
        tool: the event's tool, which rules may be about.
        text: the text.
    """
    about = (field, name, tool)
    return blake2b(encode(f"{[*map(len, about)]}{''.join(about)}{text}"), digest_size=_DIGEST).digest()
