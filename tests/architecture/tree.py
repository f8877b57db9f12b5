"""The project's own files, as the tests of this folder look at them."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("alerting", "dashboard", "deploy", "detection", "ingest_api", "pipeline", "workers")
_NOT_OURS = {".git", ".venv", ".env", "__pycache__", "data", "out"}


def files(*suffixes: str, under: str = ".") -> Iterator[Path]:
    """Yield the files of the project that end in one of ``suffixes``, or all; what tools leave is passed over."""
    for path in sorted((ROOT / under).iterdir()):
        if path.name in _NOT_OURS or path.name.endswith((".egg-info", "_cache")) or path.name == ".hypothesis":
            continue
        if path.is_dir():
            yield from files(*suffixes, under=str(path.relative_to(ROOT)))
        elif not suffixes or path.suffix in suffixes:
            yield path


def documents() -> list[Path]:
    """Return the pages that people read."""
    return [ROOT / "README.md", *files(".md", under="docs")]


def python_modules() -> list[Path]:
    """Return the modules of the product, without those of its tests."""
    return [path for package in PACKAGES for path in files(".py", under=package)]


def name(path: Path) -> str:
    """Return a path as messages show it."""
    return str(path.relative_to(ROOT))
