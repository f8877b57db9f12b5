"""Databases of the matching engine: compiled once, and kept on disk, so that a process scans moments after it starts.

A kept one that is broken is compiled again.
"""

import hashlib
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path

import hyperscan

_folder: ContextVar[Path | None] = ContextVar("database_cache", default=None)
_CPU_INFO = Path("/proc/cpuinfo")


@contextmanager
def cached_in(folder: Path | None) -> Iterator[None]:
    """Keep what is compiled in this block in a folder that only its owner may write, and use what is there."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


@lru_cache(maxsize=4096)
def database(expressions: tuple[bytes, ...], flags: int, *, every: bool = False) -> hyperscan.Database:
    """Return a database that reports each expression at most once per text, by its position in the tuple.

    Args:
        expressions: what to look for.
        flags: flags of the engine, the same for all.
        every: report every match instead, with its start.

    Raises:
        hyperscan.error: the engine refuses an expression; it does not say which.
    """
    flags |= hyperscan.HS_FLAG_SOM_LEFTMOST if every else hyperscan.HS_FLAG_SINGLEMATCH
    if (kept := _load(expressions, flags)) is not None:
        return kept
    compiled = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    count = len(expressions)
    compiled.compile(expressions=list(expressions), ids=list(range(count)), elements=count, flags=[flags] * count)
    _keep(expressions, flags, compiled)
    return compiled


def _load(expressions: tuple[bytes, ...], flags: int) -> hyperscan.Database | None:
    """Return the database of these expressions, None where none is kept that can be read."""
    path = _path(expressions, flags)
    if path is None:
        return None
    try:
        found = hyperscan.loadb(path.read_bytes(), hyperscan.HS_MODE_BLOCK)
        found.scratch = hyperscan.Scratch(found)
    except (OSError, hyperscan.error):
        return None
    return found


def _keep(expressions: tuple[bytes, ...], flags: int, database: hyperscan.Database) -> None:
    """Keep a database; that the disk refuses is no reason to stop."""
    path = _path(expressions, flags)
    if path is None:
        return
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as target:
            target.write(hyperscan.dumpb(database))
        Path(name).rename(path)


def _path(expressions: tuple[bytes, ...], flags: int) -> Path | None:
    folder = _folder.get()
    if folder is None:
        return None
    key = hashlib.sha256(repr((_machine(), flags, expressions)).encode()).hexdigest()
    return folder / f"{key[:40]}.hs"


@cache
def _machine() -> str:
    """Return the engine and the processor for which a database is compiled."""
    processor = ""
    with suppress(OSError):
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
        processor = next((line for line in lines if line.startswith(("model name", "CPU part"))), "")
    return f"{version('hyperscan')} {platform.machine()} {processor}"
