"""Taking a mapping apart, key by key, and noting everything that is wrong with it."""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import TypeVar

from detection.errors import RuleError, Span
from detection.loader._document import Node

E = TypeVar("E", bound=Enum)


class Table:
    """A mapping of a pack. What is taken from it is checked; what is left at the end is unknown."""

    def __init__(self, node: Node, what: str, errors: list[RuleError]) -> None:
        self.at = node.at
        self.errors = errors
        self._what = what
        self._left: dict[str, Node] = {}
        self._keys = node.keys
        self._is_mapping = isinstance(node.value, Mapping)
        if isinstance(node.value, Mapping):
            self._left = dict(node.value)
        else:
            self.wrong("bad-value", node.at, f"{what} is a mapping, not {node.kind}")

    def wrong(self, code: str, at: Span, label: str) -> None:
        """Note a mistake."""
        self.errors.append(RuleError(code, at, label))

    def key_at(self, key: str) -> Span:
        """Return where a key stands, or the mapping where it is missing."""
        return self._keys.get(key, self.at)

    def take(self, key: str, *, required: bool = True) -> Node | None:
        """Return the value of a key and cross the key off."""
        node = self._left.pop(key, None)
        if node is None and required and self._is_mapping and key not in self._keys:
            self.wrong("missing-key", self.at, f"{self._what} needs {key}")
        return node

    def text(self, key: str, *, required: bool = True) -> str:
        """Return a text that says something, or the empty text after noting why there is none."""
        node = self.take(key, required=required)
        if node is None:
            return ""
        if not isinstance(node.value, str) or not node.value.strip():
            self.wrong("bad-value", node.at, f"{key} is a text")
            return ""
        return node.value.strip()

    def choice(self, key: str, choices: Mapping[str, E]) -> E:
        """Return one of the named choices, or the first after noting that it is none."""
        node = self.take(key)
        if node is not None and isinstance(node.value, str) and node.value in choices:
            return choices[node.value]
        if node is not None:
            self.wrong("bad-value", node.at, f"{key} is one of {', '.join(choices)}")
        return next(iter(choices.values()))

    def texts(self, key: str, *, required: bool = True) -> list[tuple[str, Span]]:
        """Return a list of texts with their places."""
        node = self.take(key, required=required)
        return [] if node is None else list(self._texts(key, node))

    def _texts(self, key: str, node: Node) -> Iterator[tuple[str, Span]]:
        """Give every item that is a text, and note those that are not."""
        for item in listed(node):
            if isinstance(item.value, str) and item.value:
                yield item.value, item.at
            else:
                self.wrong("bad-value", item.at, f"{key} is a list of texts, this is {item.kind}")

    def children(self, key: str) -> list[tuple[str, Node]]:
        """Return the entries of a mapping below."""
        node = self.take(key)
        if node is None:
            return []
        if isinstance(node.value, Mapping):
            return list(node.value.items())
        self.wrong("bad-value", node.at, f"{key} is a mapping, not {node.kind}")
        return []

    def rest(self) -> list[tuple[str, Node]]:
        """Return every entry not taken yet, and cross it off."""
        left, self._left = list(self._left.items()), {}
        return left

    def finish(self) -> None:
        """Note every key that no one asked for."""
        for key, _ in self.rest():
            self.wrong("unknown-key", self._keys[key], f"{self._what} has no {key}")


def listed(node: Node) -> Sequence[Node]:
    """Return the items of a list, or the value itself where a list of one is meant."""
    if isinstance(node.value, Sequence) and not isinstance(node.value, str):
        return node.value
    return [node]
