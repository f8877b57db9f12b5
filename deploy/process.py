"""How a child process is started: in a session of its own, and bound to the life of its parent.

Linux sends a child the signal of ``PR_SET_PDEATHSIG`` when the thread that forked it ends, so a launcher killed with
-9 leaves nothing behind. Elsewhere the guard (``deploy.guard``) alone sees to that.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """What to run, and how to end it.

    Attributes:
        name: the service's name, in logs and in ``sentinel status``.
        argv: the command line; it holds no secret, for every user of the machine can read it.
        env: the whole environment.
        cwd: the working folder.
        stop_signal: asks the process to end in order.
        orphan_signal: what the process gets when its parent dies.
        become: run in the child before the program starts, to take another identity.
        nice: added to the process's niceness.
        module: the module of Python that ``argv`` runs, where the process may be forked (``deploy.forking``).
        loads: modules that a fork is to find loaded. None of them may look at settings when it is loaded. What is
            named ``module:function`` is called, too.
        keep_open: descriptors that the process inherits.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL
    become: Callable[[], None] | None = None
    nice: int = 0
    module: str | None = None
    loads: tuple[str, ...] = ()
    keep_open: tuple[int, ...] = ()


def child_setup(spec: ProcessSpec) -> Callable[[], None]:
    """Return what the child runs between fork and exec."""
    parent = os.getpid()

    def setup() -> None:
        if spec.nice:
            os.nice(spec.nice)
        if spec.become is not None:
            spec.become()
        die_with_parent(spec.orphan_signal, parent)

    return setup


def die_with_parent(with_signal: signal.Signals, parent: int) -> None:
    """Have this process get a signal when its parent ends; end at once if it already has."""
    # A change of identity clears the flag, so this comes after it.
    if sys.platform != "linux":
        return
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(with_signal), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def start(spec: ProcessSpec, output: IO[bytes] | int, *, keep_open: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start a process whose output goes to a file or pipe, and that inherits the descriptors ``keep_open``."""
    return subprocess.Popen(
        spec.argv,
        env=dict(spec.env),
        cwd=spec.cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=(*keep_open, *spec.keep_open),
        preexec_fn=child_setup(spec),  # noqa: PLW1509 - the parent has one thread, and the child calls libc only
    )


def kill_group(leader: int) -> None:
    """Kill what is left of a process group."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
