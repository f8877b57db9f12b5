"""What is made from rules and takes long: kept on disk, so that a process scans moments after it starts.

Whatever is broken, or was made by another version of the engine or for another processor, is made again. What nobody
used for a month is deleted.
"""

import hashlib
import os
import platform
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from importlib.metadata import version
from pathlib import Path

_folder: ContextVar[Path | None] = ContextVar("cache", default=None)
_CPU_INFO = Path("/proc/cpuinfo")
_PACKAGE = Path(__file__).parent
_DAY_SECONDS = 86_400.0
_UNUSED_SECONDS = 30 * _DAY_SECONDS
_TIDIED = "tidied"
# Somebody may have named a folder in which other things stand, too.
_OURS = re.compile(r"[0-9a-f]{40}\.[\w.]+")


@contextmanager
def cached_in(folder: Path | None) -> Iterator[None]:
    """Keep what is made in this block in a folder that only its owner may write, and use what is there."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)
        if folder is not None:
            _tidy(folder)


def kept(kind: str, *made_from: object) -> bytes | None:
    """Return what is kept of that kind, made from the same; None where nothing is."""
    path = _path(kind, made_from)
    if path is None:
        return None
    try:
        data = path.read_bytes()
    except OSError:
        return None
    _touch(path)
    return data


def note_use(kind: str, *made_from: object) -> None:
    """Let what is kept of that kind count as used, though it is in memory and not read again."""
    path = _path(kind, made_from)
    if path is not None:
        _touch(path)


def keep(data: bytes, kind: str, *made_from: object) -> None:
    """Keep what was made; that the disk refuses is no reason to stop."""
    path = _path(kind, made_from)
    if path is None:
        return
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
        try:
            with os.fdopen(handle, "wb") as target:
                target.write(data)
            Path(name).rename(path)
        except OSError:
            Path(name).unlink(missing_ok=True)


def _touch(path: Path) -> None:
    """Note, once a day at most, that a file is used."""
    with suppress(OSError):
        if _age(path) > _DAY_SECONDS:
            os.utime(path)


def _tidy(folder: Path) -> None:
    """Delete, once a day at most, what was not used for long."""
    mark = folder / _TIDIED
    with suppress(OSError):
        if mark.exists() and _age(mark) < _DAY_SECONDS:
            return
        mark.touch()
        for path in folder.iterdir():
            with suppress(OSError):
                if _OURS.fullmatch(path.name) and _age(path) > _UNUSED_SECONDS:
                    path.unlink(missing_ok=True)


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def _path(kind: str, made_from: tuple[object, ...]) -> Path | None:
    folder = _folder.get()
    if folder is None:
        return None
    maker = _machine() if kind == "hs" else _source()
    key = hashlib.sha256(repr((maker, made_from)).encode()).hexdigest()
    return folder / f"{key[:40]}.{kind}"


@cache
def _machine() -> str:
    """Return the engine and the processor for which a database is compiled."""
    processor = ""
    with suppress(OSError):
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
        processor = next((line for line in lines if line.startswith(("model name", "CPU part"))), "")
    return f"{version('hyperscan')} {platform.machine()} {processor}"


@cache
def _source() -> str:
    """Return a digest over this package: what its code decides holds for that code only."""
    digest = hashlib.sha256(version("hyperscan").encode())
    for path in sorted([*_PACKAGE.rglob("*.py"), *_PACKAGE.glob("*.txt")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()
