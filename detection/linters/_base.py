"""How the linters are found and run."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from detection.errors import RuleError
from detection.rule import Rule

Linter = Callable[[Sequence[Rule]], Iterator[RuleError]]
"""Looks at all rules and tells what is wrong with any. One module of this folder each, as a function ``check``."""


@cache
def linters() -> Sequence[Linter]:
    """Return every linter: each public module of this folder is one."""
    package = import_module(__package__ or "")
    names = sorted(module.name for module in iter_modules(package.__path__) if not module.name.startswith("_"))
    return tuple(import_module(f"{package.__name__}.{name}").check for name in names)


def lint(rules: Sequence[Rule]) -> list[RuleError]:
    """Return everything that any linter has to say."""
    return [error for check in linters() for error in check(rules)]
