"""Linters: checks over rules that have been read. One file each, found by looking."""

from detection.linters._base import Linter, lint, linters

__all__ = ["Linter", "lint", "linters"]
