"""The rules in force in this process: loaded anew when their files change, without stopping anything.

What is broken never takes away what works: then the rules stay those that worked last, here or in any process of this
data folder, and at a start without such a copy they are the shipped ones.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime

from structlog import get_logger

from detection import RuleError, RuleErrors, RuleSet, Span
from pipeline.rule_files import RuleFiles, Stamp
from pipeline.settings import PipeSettings

_LOOK_SECONDS = 1.0
# Loading is work for the interpreter, and a scan lets go of it thousands of times a second: each time, whoever judges
# would wait this long to have it back.
_SWITCH_SECONDS = 0.0002
_SHOWN = 20
_CURE = "Correct the files; that is noticed without a restart. `{}` names everything."


@dataclass(frozen=True, slots=True)
class InForce:
    """A rule set, since when it is in force in this process, and what is wrong with the files that should be."""

    rule_set: RuleSet
    since: datetime
    faults: tuple[RuleError, ...] = ()


Tell = Callable[[InForce | None], None]
"""What is told each time which rules are in force in a process; None once it ends."""


class Rules:
    """The rules of one process. Reading ``current`` never waits."""

    def __init__(self, settings: PipeSettings, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Load the rules that the settings name.

        Raises:
            detection.RuleErrors: the packs that are to replace the shipped ones do not load, and no copy is kept.
        """
        self._settings, self._clock = settings, clock
        self._stop = threading.Event()
        self._telling = threading.Lock()
        self._tell: Tell = lambda _: None
        self._is_kept = False
        self.current = self._loaded(RuleFiles.of(settings), None)

    @property
    def rule_set(self) -> RuleSet:
        """The rules in force."""
        return self.current.rule_set

    def refresh(self) -> None:
        """Load the rules anew if their files are not as they were, or an exception has expired."""
        files, today = RuleFiles.of(self._settings), self._clock().date()
        has_lapsed = self._day != today and _is_over(self.rule_set, today)
        if files.stamp() != self._stamp or has_lapsed:
            self.current = self._loaded(files, self.current)

    def follow(self, tell: Tell) -> None:
        """Look at the files every second from now on, in a thread, and ``tell`` each time what is in force."""
        self._tell = tell
        threading.Thread(target=self._watch, name="rules", daemon=True).start()

    def stop(self) -> None:
        """Look no more, and tell that nothing is in force here any longer."""
        self._stop.set()
        with self._telling:
            self._tell(None)

    def _watch(self) -> None:
        before: Stamp | None = None
        while True:
            try:
                now = RuleFiles.of(self._settings).stamp()
                # What still changes is still being written.
                if now == before:
                    self.refresh()
                before = now
                with self._telling:
                    if not self._stop.is_set():
                        self._tell(self.current)
            except Exception as error:  # noqa: BLE001 - a thread that ends here would never see a rule changed
                get_logger().error("rules_not_followed", error=f"{type(error).__name__}: {error}")
            if self._stop.wait(_LOOK_SECONDS):
                return

    def _loaded(self, files: RuleFiles, before: InForce | None) -> InForce:
        self._stamp, self._day = files.stamp(), self._clock().date()
        faults: tuple[RuleError, ...] = ()
        with _fair():
            try:
                rule_set = files.load(self._day)
            except Exception as error:  # noqa: BLE001 - whatever a pack makes happen, judging goes on
                faults = _faults(error, files)
                rule_set = self._fallback(files, before, error)
        if not faults:
            # What changed meanwhile is not what was loaded.
            self._is_kept = files.stamp() == self._stamp and _keep(files)
        is_same = before is not None and before.rule_set.version == rule_set.version
        now = InForce(rule_set, before.since if before and is_same else self._clock(), faults)
        _log(before, now, files)
        return now

    def _fallback(self, files: RuleFiles, before: InForce | None, error: Exception) -> RuleSet:
        is_newest = before is not None and not before.faults and not self._is_kept
        if before is not None and is_newest and not _is_over(before.rule_set, self._day):
            return before.rule_set
        # Another process may have kept what this one never saw.
        kept = files.load_kept(self._day)
        if before is not None and (kept is None or kept.version == before.rule_set.version):
            return before.rule_set
        if kept is not None:
            return kept
        if files.packs is not None:
            raise error
        return files.load_shipped(self._day)


def _is_over(rule_set: RuleSet, today: date) -> bool:
    """Say whether one of its exceptions has expired."""
    return rule_set.lapses is not None and rule_set.lapses < today


def _log(before: InForce | None, now: InForce, files: RuleFiles) -> None:
    log = get_logger().bind(rule_set=now.rule_set.version)
    if before is not None and before.rule_set.version != now.rule_set.version:
        log.info("rules_changed", before=before.rule_set.version)
    if now.faults:
        shown = [str(fault) for fault in now.faults[:_SHOWN]]
        log.warning("rules_broken", faults=shown, of=len(now.faults), cure=_CURE.format(files.check_command))
    elif before is not None and before.faults:
        log.info("rules_mended")


def _faults(error: Exception, files: RuleFiles) -> tuple[RuleError, ...]:
    if isinstance(error, RuleErrors):
        return error.errors
    at = Span(str(files.site or files.overrides or files.packs), 1, 1)
    return (RuleError("not-loaded", at, f"{type(error).__name__}: {error}"),)


def _keep(files: RuleFiles) -> bool:
    try:
        files.keep()
    except OSError as error:
        get_logger().warning("rules_not_kept", error=str(error))
        return False
    return True


@contextmanager
def _fair() -> Iterator[None]:
    """Let other threads have the interpreter often."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(min(usual, _SWITCH_SECONDS))
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
