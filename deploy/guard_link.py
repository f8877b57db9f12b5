"""The launcher's end of the guard: keeps it running, and tells it which process groups there are."""

import os
import signal
import subprocess
import sys
from pathlib import Path

_PATIENCE = 2.0
_SCRIPT = Path(__file__).with_name("guard.py")


class GuardLink:
    """The guard, and what it has to know."""

    def __init__(self, lock: int) -> None:
        self._lock = lock
        self._groups: dict[int, signal.Signals] = {}
        self._guard = self._start()

    @property
    def pid(self) -> int:
        """The guard's process id."""
        return self._guard.pid

    def add(self, group: int, number: signal.Signals) -> None:
        """Have a group ended with a signal, should the launcher die."""
        self._groups[group] = number
        self._tell(f"+{group} {int(number)}\n")

    def remove(self, group: int) -> None:
        """Forget a group that has ended."""
        self._groups.pop(group, None)
        self._tell(f"-{group}\n")

    def heal(self) -> bool:
        """Start the guard again if it has ended. Says whether it had."""
        if self._guard.poll() is None:
            return False
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        self._guard = self._start()
        return True

    def close(self) -> None:
        """Let the guard go; it ends what was not removed."""
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        try:
            self._guard.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            pass_fds=(self._lock,),
            start_new_session=True,
        )
        self._guard = guard
        for group, number in self._groups.items():
            self._tell(f"+{group} {int(number)}\n")
        return guard

    def _tell(self, line: str) -> None:
        # A guard that has just been killed is started again, and told everything, by ``heal``.
        if self._guard.stdin is None:
            return
        try:
            os.write(self._guard.stdin.fileno(), line.encode())
        except OSError:
            return
