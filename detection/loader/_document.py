"""YAML with places: every value of a pack knows the line and column it stands at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from yaml.constructor import SafeConstructor

from detection.errors import RuleError, Span

_KINDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "yes or no",
    type(None): "nothing",
    list: "a list",
    dict: "a mapping",
}
_SCALARS = {
    "tag:yaml.org,2002:null": SafeConstructor.construct_yaml_null,
    "tag:yaml.org,2002:bool": SafeConstructor.construct_yaml_bool,
    "tag:yaml.org,2002:int": SafeConstructor.construct_yaml_int,
    "tag:yaml.org,2002:float": SafeConstructor.construct_yaml_float,
}
_TEXTS = {"tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value", "tag:yaml.org,2002:merge"}
_DEEPEST = 32


@dataclass(frozen=True, slots=True)
class Node:
    """A value, where it stands, and, for a mapping, where its keys stand."""

    value: "str | int | float | bool | Sequence[Node] | Mapping[str, Node] | None"
    at: Span
    keys: Mapping[str, Span] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """What the value is, in words."""
        return _KINDS[type(self.value)]


class _Reader:
    """Turns the nodes of one file into ours, noting what a pack may not hold."""

    def __init__(self, file: str, errors: list[RuleError]) -> None:
        self._file = file
        self._errors = errors
        self._seen: set[int] = set()
        self._constructor = SafeConstructor()

    def node(self, node: yaml.Node) -> Node:
        """Return the node as a value with its place."""
        at = self._span(node)
        if isinstance(node, yaml.ScalarNode):
            return Node(self._scalar(node, at), at)
        # A second visit is an alias: it may lead back to itself, or grow without bound.
        if id(node) in self._seen:
            self._errors.append(RuleError("alias", at, "anchors and aliases are not part of the rule language"))
            return Node(None, at)
        self._seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            return Node([self.node(item) for item in node.value], at)
        return self._mapping(node, at)

    def _mapping(self, node: yaml.Node, at: Span) -> Node:
        """Return a mapping; of a key written twice the first counts."""
        values: dict[str, Node] = {}
        keys: dict[str, Span] = {}
        for key_node, value_node in node.value:
            key, place = str(key_node.value), self._span(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self._errors.append(RuleError("bad-key", place, "a key is a single word"))
            elif key in keys:
                self._errors.append(
                    RuleError("duplicate-key", place, f"{key} is already given at line {keys[key].line}")
                )
            else:
                keys[key], values[key] = place, self.node(value_node)
        return Node(values, at, keys)

    def _scalar(self, node: yaml.ScalarNode, at: Span) -> str | int | float | bool | None:
        """Return a text, number, truth value or nothing."""
        if node.tag in _TEXTS:
            return str(node.value)
        construct = _SCALARS.get(node.tag)
        if construct is None:
            self._errors.append(
                RuleError("bad-yaml", at, f"values tagged {node.tag} are not part of the rule language")
            )
            return None
        try:
            value: str | int | float | bool | None = construct(self._constructor, node)
        except (ValueError, KeyError):
            self._errors.append(RuleError("bad-yaml", at, f"{node.value} cannot be read as what it is tagged"))
            return None
        return value

    def _span(self, node: yaml.Node) -> Span:
        """Return where a node begins."""
        return Span(self._file, node.start_mark.line + 1, node.start_mark.column + 1)


def _too_deep(text: str) -> bool:
    """Say whether a text nests deeper than any pack does: the fast reader would crash on it."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            return True
    return False


def read_document(path: Path, errors: list[RuleError]) -> Node | None:
    """Return what a file holds, or None after noting why it cannot be read."""
    file = str(path)
    try:
        text = path.read_text(encoding="utf-8")
        if _too_deep(text):
            errors.append(RuleError("bad-yaml", Span(file, 1, 1), "nested too deep"))
            return None
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
        return None if root is None else _Reader(file, errors).node(root)
    except OSError as error:
        errors.append(RuleError("unreadable-file", Span(file, 1, 1), error.strerror or str(error)))
    except UnicodeDecodeError as error:
        errors.append(RuleError("unreadable-file", Span(file, 1, 1), f"not UTF-8 at byte {error.start}"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = Span(file, mark.line + 1, mark.column + 1) if mark else Span(file, 1, 1)
        errors.append(RuleError("bad-yaml", at, error.problem or "not YAML"))
    except yaml.YAMLError as error:
        errors.append(RuleError("bad-yaml", Span(file, 1, 1), str(error).splitlines()[0]))
    return None
