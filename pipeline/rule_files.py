"""The files that rules come from: the packs and overrides of a site, and a copy of those that worked last."""

import fcntl
import hashlib
import os
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from time import monotonic, sleep
from typing import IO, TYPE_CHECKING
from zipfile import ZipFile

from structlog import get_logger

import detection
from pipeline.settings import PipeSettings

if TYPE_CHECKING:
    from detection import RuleSet  # with it comes the compiler, which not everybody who knows the files needs

_SUFFIXES = {".yaml", ".yml"}
_COPIED = _PACKS, _SITE, _OVERRIDES = "replacing", "packs", "overrides.yaml"
_WAIT_SECONDS, _POLL_SECONDS = 60.0, 0.1

Stamp = tuple[tuple[str, int, int, int], ...]
"""What tells one state of the files from another: path, inode, size and time of change of each."""


@dataclass(frozen=True, slots=True)
class RuleFiles:
    """Where the rules of a site stand. ``packs`` takes the place of the shipped ones."""

    packs: Path | None
    site: Path | None
    overrides: Path | None
    home: Path
    cache: Path

    @classmethod
    def of(cls, settings: PipeSettings) -> "RuleFiles":
        """Return those that the settings name, and those that stand in the data folder."""
        site, overrides = settings.home / _SITE, settings.home / _OVERRIDES
        return cls(
            settings.packs,
            settings.site_packs or (site if site.is_dir() else None),
            settings.overrides or (overrides if overrides.is_file() else None),
            settings.home,
            settings.rule_cache or settings.home / "cache" / "rules",
        )

    @property
    def check_command(self) -> str:
        """What tells everything that is wrong with them."""
        options = (("--site", self.site), ("--overrides", self.overrides))
        named = [part for name, path in options if path is not None for part in (name, str(path))]
        return shlex.join(["sentinel", "rules", "check", *([str(self.packs)] if self.packs else []), *named])

    def stamp(self) -> Stamp:
        """Return what is different once any file is."""
        # Of a folder it counts only whether it is there, for much may be written into it that is no pack.
        folders = [(*_stamped(path)[:2], 0, 0) for path in (self.packs, self.site) if path is not None]
        return (*folders, *(_stamped(path) for _, path in self._named()))

    def load(self, today: date, *, state: object = None) -> "RuleSet":
        """Return the rules of these files, or the shipped ones where there are none.

        Args:
            today: the day by which exceptions have expired or not.
            state: what tells one state of the files from another; None is their stamp.

        Raises:
            detection.RuleErrors: everything that is wrong with them.
        """
        return _load(self, today, self._key(self.stamp() if state is None else state))

    @property
    def are_compiled(self) -> bool:
        """Whether somebody loaded them as they are, so that loading them again takes a moment."""
        return self._loaded(self._key(self.stamp())).exists()

    def _key(self, state: object) -> str:
        shipped = [_stamped(path) for path in _inside(detection.SHIPPED_PACKS)]
        return hashlib.sha256(repr((state, shipped)).encode()).hexdigest()[:40]

    def _loaded(self, key: str) -> Path:
        return self.cache / f"{key}.loaded"

    @contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """Let one process compile what is new, while the others wait for what it keeps."""
        done = self._loaded(key)
        if done.exists():
            yield
            return
        with ExitStack() as stack:
            with suppress(OSError):
                self.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
                _take(stack.enter_context((self.cache / "lock").open("w")), self.cache, _WAIT_SECONDS)
            yield
            with suppress(OSError):
                done.touch()

    def keep(self) -> None:
        """Copy the files, in one step, over what was kept before; that there are none is kept too.

        Raises:
            OSError: the data folder cannot be written.
        """
        handle, name = tempfile.mkstemp(dir=self.home, prefix=self._kept.name)
        try:
            with os.fdopen(handle, "wb") as target, ZipFile(target, "w", strict_timestamps=False) as archive:
                for inside, path in self._named():
                    archive.write(path, inside)
            Path(name).replace(self._kept)
        finally:
            Path(name).unlink(missing_ok=True)

    def load_kept(self, today: date) -> "RuleSet | None":
        """Return the rules of the copy, None where there is none that loads."""
        try:
            with tempfile.TemporaryDirectory() as folder, ZipFile(self._kept) as archive:
                archive.extractall(folder)
                packs, site, overrides = (p if (p := Path(folder) / name).exists() else None for name in _COPIED)
                # It is unpacked to another place each time, and is the same files for all that.
                state = hashlib.sha256(self._kept.read_bytes()).hexdigest()
                return RuleFiles(packs, site, overrides, self.home, self.cache).load(today, state=state)
        except Exception:  # noqa: BLE001 - a copy that is of no use, for whatever reason, is as good as none
            return None

    def load_shipped(self, today: date) -> "RuleSet":
        """Return the shipped rules."""
        return RuleFiles(None, None, None, self.home, self.cache).load(today)

    @property
    def _kept(self) -> Path:
        return self.home / "last-good-rules.zip"

    def _named(self) -> Iterator[tuple[str, Path]]:
        """Yield every file with its name in the copy."""
        for name, folder in ((_PACKS, self.packs), (_SITE, self.site)):
            for path in _inside(folder) if folder is not None else ():
                yield f"{name}/{path.name}", path
        if self.overrides is not None:
            yield _OVERRIDES, self.overrides


@lru_cache(maxsize=1)
def _load(files: RuleFiles, today: date, key: str) -> "RuleSet":
    """Load rules, once in a process and those that are forked from it."""
    # Somebody may make the folder before the first pack.
    is_empty = files.site is not None and files.site.is_dir() and not _inside(files.site)
    with files.alone(key):
        return detection.load_rule_set(
            *([files.packs] if files.packs else []),
            cache=files.cache,
            site=None if is_empty else files.site,
            overrides=files.overrides,
            today=today,
        )


def _take(lock: IO[str], folder: Path, patience: float) -> None:
    """Wait for a lock, but no longer than ``patience`` after its holder last kept something in the folder."""
    kept, until = -1, 0.0
    while not _is_taken(lock):
        if (newest := folder.stat().st_mtime_ns) != kept:
            kept, until = newest, monotonic() + patience
        if monotonic() > until:
            get_logger().warning("rules_lock_not_had", lock=lock.name, waited=patience)
            return
        sleep(_POLL_SECONDS)


def _is_taken(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES and not path.name.startswith("."))
    except OSError:
        return []


def _stamped(path: Path) -> tuple[str, int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return str(path), 0, 0, 0
    return str(path), found.st_ino, found.st_size, found.st_mtime_ns
