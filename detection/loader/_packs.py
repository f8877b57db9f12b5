"""From files to rules."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from detection.errors import RuleError, Span
from detection.loader._document import Node, read_document
from detection.loader._rules import RuleReader
from detection.loader._table import Table, listed
from detection.rule import Rule

_SUFFIXES = {".yaml", ".yml"}


def pack_files(paths: Iterable[Path], errors: list[RuleError]) -> list[Path]:
    """Return the packs: files as they are named, and every YAML file of a folder that is not hidden."""
    files: list[Path] = []
    for path in paths:
        try:
            inside = _inside(path) if path.is_dir() else [path]
        except OSError as error:
            errors.append(RuleError("unreadable-file", Span(str(path), 1, 1), error.strerror or str(error)))
            continue
        if not inside:
            errors.append(RuleError("no-packs", Span(str(path), 1, 1), "the folder has no .yaml file"))
        files.extend(inside)
    return files


def _inside(folder: Path) -> list[Path]:
    # Editors and systems keep hidden files of the same ending beside those that somebody edits or copies.
    return sorted(file for file in folder.iterdir() if file.suffix in _SUFFIXES and not file.name.startswith("."))


def load_packs(paths: Iterable[Path], errors: list[RuleError]) -> tuple[list[Rule], list[Rule]]:
    """Return every rule as far as it could be read, and those of them that were read without a mistake.

    What is wrong is added to the errors.
    """
    read: list[Rule] = []
    sound: list[Rule] = []
    for path in pack_files(paths, errors):
        for item, pack in _rule_nodes(path, errors):
            before = len(errors)
            rule = RuleReader(item, pack, errors).read()
            read.append(rule)
            if len(errors) == before:
                sound.append(rule)
    return read, sound


def _rule_nodes(path: Path, errors: list[RuleError]) -> Sequence[tuple[Node, str]]:
    """Return the rules of one file, unread, each with the name of its pack."""
    before = len(errors)
    root = read_document(path, errors)
    if root is None:
        if len(errors) == before:
            errors.append(RuleError("no-rules", Span(str(path), 1, 1), "the file is empty"))
        return []
    table = Table(root, "a pack", errors)
    name = table.text("pack")
    table.text("description", required=False)
    rules = table.take("rules")
    table.finish()
    if rules is None:
        return []
    items = listed(rules)
    if isinstance(rules.value, str | Mapping) or not items:
        errors.append(RuleError("no-rules", rules.at, "rules is a list of at least one rule"))
        return []
    errors.extend(
        RuleError("bad-value", item.at, f"a rule is a mapping, not {item.kind}")
        for item in items
        if not isinstance(item.value, Mapping)
    )
    return [(item, name) for item in items if isinstance(item.value, Mapping)]
