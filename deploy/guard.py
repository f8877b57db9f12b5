"""The guard: ends what a launcher that was killed left behind.

A process of its own that reads from the launcher which process groups exist: ``+<group> <signal>`` or ``-<group>``.
The launcher's death, however it comes, closes the pipe. A signal on the parent's death, which every child also has,
does not reach grandchildren, and exists on Linux only.
"""

import os
import signal
import sys
import time

_PATIENCE = 4.0


def main() -> None:
    """Follow the launcher until it ends, then end what is left."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: dict[int, int] = {}
    for line in sys.stdin:
        change, _, number = line.strip().partition(" ")
        if change.startswith("+"):
            groups[int(change[1:])] = int(number)
        elif change.startswith("-"):
            groups.pop(int(change[1:]), None)
    end(groups)


def end(groups: dict[int, int]) -> None:
    """Send each group its signal, and kill what is left of it after a while."""
    for group, number in groups.items():
        _signal(group, number)
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and any(_signal(group, 0) for group in groups):
        time.sleep(0.05)
    for group in groups:
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
