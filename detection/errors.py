"""What can be wrong with rules: each mistake is a record with a place, a code and a label, and all are told at once."""

import inspect
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A place in a rule pack: file, line and column, both counted from one."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class RuleError:
    """One mistake in a rule pack."""

    code: str
    at: Span
    label: str

    def __str__(self) -> str:
        return f"{self.at}: error[{self.code}]: {self.label}"


class DetectionError(Exception):
    """The engine could not do what it was asked to."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or inspect.getdoc(type(self)))


class RuleErrors(DetectionError):
    """The rule packs do not load."""

    def __init__(self, errors: Iterable[RuleError]) -> None:
        self.errors = tuple(sorted(set(errors), key=lambda error: (error.at, error.code, error.label)))
        super().__init__("\n".join(map(str, self.errors)))
