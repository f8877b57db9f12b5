"""From files to rules."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from detection.errors import RuleError, Span
from detection.loader._document import read_document
from detection.loader._rules import RuleReader
from detection.loader._table import Table
from detection.rule import Rule

_SUFFIXES = {".yaml", ".yml"}


def pack_files(paths: Iterable[Path], errors: list[RuleError]) -> list[Path]:
    """Return the packs: files as they are named, and every YAML file of a folder."""
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
        elif inside := sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES):
            files.extend(inside)
        else:
            errors.append(RuleError("no-packs", Span(str(path), 1, 1), "the folder has no .yaml file"))
    return files


def load_packs(paths: Iterable[Path], errors: list[RuleError]) -> list[Rule]:
    """Return every rule that could be read, and add what is wrong with the others to the errors."""
    return [rule for path in pack_files(paths, errors) for rule in _load_pack(path, errors)]


def _load_pack(path: Path, errors: list[RuleError]) -> Sequence[Rule]:
    """Return the rules of one file."""
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
    if isinstance(rules.value, str | Mapping) or not isinstance(rules.value, Sequence) or not rules.value:
        errors.append(RuleError("no-rules", rules.at, "rules is a list of at least one rule"))
        return []
    read = (RuleReader(item, name, errors).read() for item in rules.value)
    return [rule for rule in read if rule is not None]
